// kinema/kernel/cpu/rope.hpp - layer norm of queries and keys with rotary embedding, in one pass over memory.
//
// The angles of a token serve all its heads, so a work item is a run of tokens and the table row is prepared once per
// token: widened, with the sign of the rotation folded into the sines. Mean, variance and result are three loops over
// some heads that stay in the first-level cache: one head after the other would wait for the end of every sum.
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/rope.hpp>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// What one token adds to its heads' vectors, in the compute type.
template <class C>
struct RotaryRow {
  const C* weight;
  const C* bias;
  const C* cos;
  const C* sin;  ///< negative on even places
};

/// sum f(i-th batch of x) over d elements. Four sums side by side, because one would wait for its last addition.
template <class T, class F>
[[gnu::always_inline]] inline compute_t<T> sum_over(const T* x, std::int64_t d, compute_t<T> padding, const F& f) {
  using C = compute_t<T>;
  constexpr int w = simd::lanes<C>;
  simd::batch<C> a = simd::fill<C>(0), b = a, c = a, e = a;
  std::int64_t i = 0;
  for (; i + 4 * w <= d; i += 4 * w) {
    a = f(simd::load<T>(x + i), a);
    b = f(simd::load<T>(x + i + w), b);
    c = f(simd::load<T>(x + i + 2 * w), c);
    e = f(simd::load<T>(x + i + 3 * w), e);
  }
  for (; i + w <= d; i += w) a = f(simd::load<T>(x + i), a);
  if (i < d) b = f(simd::load_first<T>(x + i, d - i, padding), b);
  return simd::sum<C>((a + b) + (c + e));
}

/// Some heads of one token; y may be x. `width` is the head width if it is known to the compiler, else 0.
template <class T, bool normalize, bool rotate, int width>
void norm_rope_heads(const T* x, std::int64_t x_step, T* y, std::int64_t y_step, int heads, std::int64_t any_width, compute_t<T> eps,
                     const RotaryRow<compute_t<T>>& row, compute_t<T>* means, compute_t<T>* scales) {
  using C = compute_t<T>;
  using V = simd::batch<C>;
  constexpr int w = simd::lanes<C>;
  constexpr std::int64_t line = 64 / sizeof(T);
  const std::int64_t d = width > 0 ? width : any_width;
  const C *const weight = row.weight, *const bias = row.bias, *const cos = row.cos, *const sin = row.sin;
  const C per_element = C(1) / static_cast<C>(d);
  if constexpr (normalize) {
    for (int h = 0; h < heads; ++h) {
      // The group after the next: the three short loops hide the pattern of the reads from the processor's own prefetcher.
      for (std::int64_t i = 0; i < d; i += line) __builtin_prefetch(x + (h + 2 * heads) * x_step + i);
      means[h] = sum_over<T>(x + h * x_step, d, C(0), [](const V& u, const V& total) { return total + u; }) * per_element;
    }
    for (int h = 0; h < heads; ++h) {
      const V center = simd::fill<C>(means[h]);
      const C squares = sum_over<T>(x + h * x_step, d, means[h], [center](const V& u, const V& total) { return simd::fma<C>(u - center, u - center, total); });
      scales[h] = C(1) / math::sqrt(squares * per_element + eps);
    }
  }
  for (int h = 0; h < heads; ++h, x += x_step, y += y_step) {
    V center = simd::fill<C>(0), scale = center;
    if constexpr (normalize) center = simd::fill<C>(means[h]), scale = simd::fill<C>(scales[h]);
    const auto result = [=](V u, std::int64_t i, const auto& constant) __attribute__((always_inline)) {
      if constexpr (normalize) u = simd::fma<C>((u - center) * scale, constant(weight + i), constant(bias + i));
      if constexpr (rotate) u = simd::fma<C>(u, constant(cos + i), simd::swap_pairs<C>(u) * constant(sin + i));
      return u;
    };
    std::int64_t i = 0;
#pragma GCC unroll 8
    for (; i + w <= d; i += w)
      simd::store<T>(y + i, result(simd::load<T>(x + i), i, [](const C* p) __attribute__((always_inline)) { return simd::load_compute<C>(p); }));
    if (i < d)
      simd::store_first<T>(y + i, result(simd::load_first<T>(x + i, d - i), i, [&](const C* p) { return simd::load_first<C>(p, d - i); }), d - i);
  }
}

/// Constants are f32, bf16, f16 or f64 in memory, the compute type here.
template <class C>
void widen(const Ref& from, std::int64_t row, std::int64_t n, C* to) {
  dispatch_floating(from.dtype, QkNormRope::name, [&]<class S>(Type<S>) {
    const std::int64_t step = from.stride[from.rank() - 1];
    const S* p = static_cast<const S*>(from.data) + (from.rank() == 2 ? row * from.stride[0] : 0);
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<C>(p[i * step]);
  });
}

template <class T>
void qk_norm_rope(CpuContext& ctx, const QkNormRope& op) {
  using C = compute_t<T>;
  const auto x = op.x.view<const T, 4>();
  const auto y = op.y.view<T, 4>();
  const std::int64_t tokens = x.size[1], heads = x.size[2], d = x.size[3];
  const std::int64_t row = (d + 15) / 16 * 16;  // of scratch: rows start on cache lines
  const auto scratch = ctx.scratch(static_cast<std::size_t>(row * (2 + 2 * ctx.threads)) * sizeof(C));
  C* const constants = scratch.as<C>();
  std::fill_n(constants, row, C(1));
  std::fill_n(constants + row, row, C(0));
  if (op.weight) widen(op.weight, 0, d, constants);
  if (op.bias) widen(op.bias, 0, d, constants + row);

  constexpr int heads_together = 16;
  constexpr std::int64_t bytes_of_an_item = 64 * 1024;  // a few microseconds of work, a run of whole pages
  const std::int64_t grain = std::max<std::int64_t>(1, bytes_of_an_item / std::max<std::int64_t>(1, heads * d * static_cast<std::int64_t>(sizeof(T))));
  parallel_ranges(x.size[0] * tokens, grain, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    C* const angles = constants + row * (2 + 2 * (thread_index() % ctx.threads));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / tokens, s = i % tokens;
      const RotaryRow<C> token{constants, constants + row, angles, angles + row};
      const bool rotate = op.cos && s >= op.first;
      if (rotate) {
        widen(op.cos, s - op.first, d, angles);
        widen(op.sin, s - op.first, d, angles + row);
        for (std::int64_t j = 0; j < d; j += 2) angles[row + j] = -angles[row + j];
      }
      const auto heads_with = [&]<bool normalize, bool rotates>(std::bool_constant<normalize>, std::bool_constant<rotates>) {
        const T* from = x.data + b * x.stride[0] + s * x.stride[1];
        T* to = y.data + b * y.stride[0] + s * y.stride[1];
        C means[heads_together], scales[heads_together];
        for (std::int64_t h = 0; h < heads; h += heads_together) {
          const int some = static_cast<int>(std::min<std::int64_t>(heads_together, heads - h));
          constexpr int usual = 64;  // the head width of every released model
          const auto f = d == usual ? norm_rope_heads<T, normalize, rotates, usual> : norm_rope_heads<T, normalize, rotates, 0>;
          f(from + h * x.stride[2], x.stride[2], to + h * y.stride[2], y.stride[2], some, d, static_cast<C>(op.eps), token, means, scales);
        }
      };
      if (op.normalize && rotate) heads_with(std::true_type{}, std::true_type{});
      else if (op.normalize) heads_with(std::true_type{}, std::false_type{});
      else if (rotate) heads_with(std::false_type{}, std::true_type{});
      else heads_with(std::false_type{}, std::false_type{});
    }
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const QkNormRope& op) {
  if (op.x.shape.numel() == 0) return;
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::qk_norm_rope<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
