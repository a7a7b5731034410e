// kinema/kernel/cpu/group_norm.hpp - group normalisation over blocked activations on the CPU.
//
// Two passes over x. The first sums deviations from the frame's first pixel, so that a large mean costs no digits: in
// the compute type over short runs of pixels, in f64 beyond. The second applies one multiply-add per value, with the
// conditioning maps folded into it, and the activation.
#pragma once

#include <kinema/kernel/cpu/detail/activation.hpp>
#include <kinema/kernel/cpu/detail/frames.hpp>
#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/group_norm.hpp>

#include <cmath>

namespace kinema::inline KINEMA_ABI::kernel {
namespace cpu {

/// Pixels that are summed in the compute type before the sum moves to f64.
inline constexpr std::int64_t moment_run = 64;

/// n values with mean and sum of squared deviations from it.
struct Moments {
  double n = 0, mean = 0, squares = 0;
  void add(const Moments& o) {
    if (o.n == 0) return;
    const double total = n + o.n, delta = o.mean - mean;
    mean += delta * o.n / total;
    squares += o.squares + delta * delta * n * o.n / total;
    n = total;
  }
};

/// Moments of each of the b channels of one frame of one channel block.
template <class T>
void frame_moments(const View<const T, 6>& x, std::int64_t b, std::int64_t k, std::int64_t t, Moments* out) {
  using C = compute_t<T>;
  constexpr std::int64_t lanes = simd::lanes<C>;
  const std::int64_t block = x.size[5], H = x.size[3], W = x.size[4];
  for (std::int64_t c = 0; c < block; c += lanes) {
    const std::int64_t valid = std::min(lanes, block - c);
    const auto load = [&](const T* p) { return valid == lanes ? simd::load<T>(p) : simd::load_first<T>(p, valid); };
    const auto origin = load(&x(b, k, t, 0, 0, c));
    alignas(64) C pivot[lanes], s[lanes], q[lanes];
    double sums[lanes] = {}, squares[lanes] = {};
    simd::store_compute<C>(pivot, origin);
    for (std::int64_t i = 0; i < H; ++i) {
      const T* row = &x(b, k, t, i, 0, c);
      for (std::int64_t j = 0; j < W; j += moment_run) {
        const std::int64_t end = std::min(W, j + moment_run);
        auto s0 = simd::fill<C>(C(0)), s1 = s0, q0 = s0, q1 = s0;
        std::int64_t at = j;
        for (; at + 1 < end; at += 2) {
          const auto d0 = load(row + at * block) - origin, d1 = load(row + (at + 1) * block) - origin;
          s0 = s0 + d0;
          s1 = s1 + d1;
          q0 = simd::fma(d0, d0, q0);
          q1 = simd::fma(d1, d1, q1);
        }
        if (at < end) {
          const auto d0 = load(row + at * block) - origin;
          s0 = s0 + d0;
          q0 = simd::fma(d0, d0, q0);
        }
        simd::store_compute<C>(s, s0 + s1);
        simd::store_compute<C>(q, q0 + q1);
        for (std::int64_t l = 0; l < lanes; ++l) sums[l] += static_cast<double>(s[l]), squares[l] += static_cast<double>(q[l]);
      }
    }
    const double n = static_cast<double>(H * W);
    for (std::int64_t l = 0; l < valid; ++l)
      out[c + l] = {n, static_cast<double>(pivot[l]) + sums[l] / n, std::max(0.0, squares[l] - sums[l] * sums[l] / n)};
  }
}

/// One row: y[j] = act(x[j] a[j / ratio] + d[j / ratio]), a and d per channel, or per channel and map position.
template <class T, class Act>
void affine_row(const T* x, T* y, std::int64_t W, std::int64_t block, std::int64_t ratio, const compute_t<T>* a, const compute_t<T>* d, const Act& act) {
  using C = compute_t<T>;
  constexpr std::int64_t lanes = simd::lanes<C>;
  if (block == lanes) {
    for (std::int64_t j = 0; j < W; a += block, d += block) {
      const auto va = simd::load_compute<C>(a), vd = simd::load_compute<C>(d);
      for (const std::int64_t end = std::min(W, j + ratio); j < end; ++j)
        simd::store<T>(y + j * block, activate<C>(act, simd::fma(simd::load<T>(x + j * block), va, vd)));
    }
    return;
  }
  for (std::int64_t j = 0; j < W; ++j)
    simd::transform<T>(block, y + j * block, [&](const auto& v, const auto& va, const auto& vd) { return activate<C>(act, simd::fma(v, va, vd)); },
                       x + j * block, a + j / ratio * block, d + j / ratio * block);
}

template <class T, class Act>
void group_norm(CpuContext& ctx, const GroupNorm& op, const Act& act) {
  using C = compute_t<T>;
  const auto x = op.x.view<const T, 6>();
  const auto y = op.y.view<T, 6>();
  const std::int64_t B = x.size[0], K = x.size[1], T_ = x.size[2], H = x.size[3], W = x.size[4], block = x.size[5];
  const std::int64_t channels = K * block, per_group = channels / op.groups;
  if (B * channels * T_ * H * W == 0) return;

  const auto moments = ctx.scratch(static_cast<std::size_t>(B * T_ * channels) * sizeof(Moments));
  const auto coefficients = ctx.scratch(static_cast<std::size_t>(2 * B * channels) * sizeof(C));
  Moments* m = moments.template as<Moments>();
  C* slope = coefficients.template as<C>();
  C* offset = slope + B * channels;
  for_each_frame(ctx.threads, B, K, T_, [&](std::int64_t b, std::int64_t k, std::int64_t t) {
    frame_moments<T>(x, b, k, t, m + (b * T_ + t) * channels + k * block);
  });
  const auto load = [&](const Ref& r, std::int64_t c) {
    return dispatch_floating(r.dtype, op.name, [&]<class P>(Type<P>) { return static_cast<double>(static_cast<compute_t<P>>(r.view<const P, 1>()(c))); });
  };
  for (std::int64_t b = 0; b < B; ++b)
    for (std::int64_t g = 0; g < op.groups; ++g) {
      Moments all;
      for (std::int64_t t = 0; t < T_; ++t)
        for (std::int64_t c = g * per_group; c < (g + 1) * per_group; ++c) all.add(m[(b * T_ + t) * channels + c]);
      const double rstd = 1.0 / std::sqrt(all.squares / all.n + op.eps);
      for (std::int64_t c = g * per_group; c < (g + 1) * per_group; ++c) {
        const double s = load(op.weight, c) * rstd;
        slope[b * channels + c] = static_cast<C>(s);
        offset[b * channels + c] = static_cast<C>(load(op.bias, c) - all.mean * s);
      }
    }

  if (!op.scale) {
    for_each_frame(ctx.threads, B, K, T_, [&](std::int64_t b, std::int64_t k, std::int64_t t) {
      const std::int64_t at = b * channels + k * block;
      for (std::int64_t i = 0; i < H; ++i) affine_row<T>(&x(b, k, t, i, 0, 0), &y(b, k, t, i, 0, 0), W, block, W, slope + at, offset + at, act);
    });
    return;
  }
  const auto scale = op.scale.view<const T, 6>();
  const auto shift = op.shift.view<const T, 6>();
  const std::int64_t h = scale.size[3], w = scale.size[4], up = H / h, across = W / w;
  const auto rows = ctx.scratch(static_cast<std::size_t>(B * K * T_ * 2 * w * block) * sizeof(C));
  for_each_frame(ctx.threads, B, K, T_, [&](std::int64_t b, std::int64_t k, std::int64_t t) {
    const std::int64_t source = nearest_frame(t, T_, scale.size[2], op.first), at = b * channels + k * block;
    C* a = rows.template as<C>() + ((b * K + k) * T_ + t) * 2 * w * block;
    C* d = a + w * block;
    for (std::int64_t i = 0; i < h; ++i) {
      const T *sc = &scale(b, k, source, i, 0, 0), *sh = &shift(b, k, source, i, 0, 0);
      for (std::int64_t j = 0; j < w; ++j)
        for (std::int64_t c = 0; c < block; ++c) {
          const C factor = static_cast<C>(sc[j * block + c]);
          a[j * block + c] = slope[at + c] * factor;
          d[j * block + c] = offset[at + c] * factor + static_cast<C>(sh[j * block + c]);
        }
      for (std::int64_t r = i * up; r < (i + 1) * up; ++r)
        affine_row<T>(&x(b, k, t, r, 0, 0), &y(b, k, t, r, 0, 0), W, block, across, a, d, act);
    }
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const GroupNorm& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) {
    if (op.activation == Activation::silu) cpu::group_norm<T>(ctx, op, Silu{});
    else cpu::group_norm<T>(ctx, op, Identity{});
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
