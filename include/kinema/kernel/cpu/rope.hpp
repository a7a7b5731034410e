// kinema/kernel/cpu/rope.hpp - layer norm of queries and keys with rotary embedding, in one pass over memory.
//
// The angles of a token serve all its heads, so a work item is a run of tokens and the table row is prepared once per
// token: widened, with the sign of the rotation folded into the sines. A vector of D elements stays in the first-level
// cache while it is read three times (mean, variance, result).
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/rope.hpp>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// What one token adds to its heads' vectors, in the compute type; null pointers mean 1, 0 and no rotation.
template <class C>
struct RotaryRow {
  const C* weight = nullptr;
  const C* bias = nullptr;
  const C* cos = nullptr;
  const C* sin = nullptr;  ///< negative on even places
};

/// y[0 … d) from x[0 … d), which may be the same memory.
template <class T, bool normalize>
void norm_rope_vector(const T* x, T* y, std::int64_t d, compute_t<T> eps, const RotaryRow<compute_t<T>>& row) {
  using C = compute_t<T>;
  constexpr int w = simd::lanes<C>;
  const std::int64_t whole = d / w * w, rest = d - whole;
  C mean = 0, scale = 1;
  if constexpr (normalize) {
    auto total = simd::fill<C>(0);
    for (std::int64_t i = 0; i < whole; i += w) total = total + simd::load<T>(x + i);
    if (rest > 0) total = total + simd::load_first<T>(x + whole, rest);
    mean = simd::sum<C>(total) / static_cast<C>(d);
    const auto center = simd::fill<C>(mean);
    auto squares = simd::fill<C>(0);
    const auto add = [&](const simd::batch<C>& u) { squares = simd::fma<C>(u - center, u - center, squares); };
    for (std::int64_t i = 0; i < whole; i += w) add(simd::load<T>(x + i));
    if (rest > 0) add(simd::load_first<T>(x + whole, rest, mean));
    scale = C(1) / math::sqrt(simd::sum<C>(squares) / static_cast<C>(d) + eps);
  }
  const auto result = [&](simd::batch<C> u, std::int64_t i, const auto& constant) {
    if constexpr (normalize) {
      u = (u - simd::fill<C>(mean)) * simd::fill<C>(scale);
      if (row.weight) u = u * constant(row.weight + i);
      if (row.bias) u = u + constant(row.bias + i);
    }
    if (row.cos) u = simd::fma<C>(u, constant(row.cos + i), simd::swap_pairs<C>(u) * constant(row.sin + i));
    return u;
  };
  for (std::int64_t i = 0; i < whole; i += w)
    simd::store<T>(y + i, result(simd::load<T>(x + i), i, [](const C* p) { return simd::load_compute<C>(p); }));
  if (rest > 0)
    simd::store_first<T>(y + whole, result(simd::load_first<T>(x + whole, rest), whole, [&](const C* p) { return simd::load_first<C>(p, rest); }), rest);
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
  RotaryRow<C> affine;
  if (op.weight) widen(op.weight, 0, d, constants), affine.weight = constants;
  if (op.bias) widen(op.bias, 0, d, constants + row), affine.bias = constants + row;

  constexpr std::int64_t bytes_of_an_item = 64 * 1024;  // a few microseconds of work, a run of whole pages
  const std::int64_t grain = std::max<std::int64_t>(1, bytes_of_an_item / std::max<std::int64_t>(1, heads * d * static_cast<std::int64_t>(sizeof(T))));
  parallel_ranges(x.size[0] * tokens, grain, ctx.threads, [&](std::int64_t begin, std::int64_t end) {
    C* const angles = constants + row * (2 + 2 * (thread_index() % ctx.threads));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t b = i / tokens, s = i % tokens;
      RotaryRow<C> token = affine;
      if (op.cos && s >= op.first) {
        widen(op.cos, s - op.first, d, angles);
        widen(op.sin, s - op.first, d, angles + row);
        for (std::int64_t j = 0; j < d; j += 2) angles[row + j] = -angles[row + j];
        token.cos = angles;
        token.sin = angles + row;
      }
      for (std::int64_t h = 0; h < heads; ++h) {
        const T* from = x.data + b * x.stride[0] + s * x.stride[1] + h * x.stride[2];
        T* to = y.data + b * y.stride[0] + s * y.stride[1] + h * y.stride[2];
        if (op.normalize) norm_rope_vector<T, true>(from, to, d, static_cast<C>(op.eps), token);
        else norm_rope_vector<T, false>(from, to, d, C(0), token);
      }
    }
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const QkNormRope& op) {
  if (op.x.shape.numel() == 0) return;
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::qk_norm_rope<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
