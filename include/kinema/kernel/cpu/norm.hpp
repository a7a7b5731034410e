// kinema/kernel/cpu/norm.hpp - normalisation over rows: three sweeps over a row that stays in the first-level cache.
//
// Mean first, then the mean of squared distances from it: one pass less would lose digits wherever the mean is large.
// Sums run in four batches side by side, always in the same order.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/cpu/detail/rows.hpp>
#include <kinema/kernel/norm.hpp>

#include <algorithm>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

/// Sum of f(batch) over a row; f(0) need not be 0, so the tail is masked by `tail`.
template <class C, class F>
C row_sum(std::int64_t n, const C* x, const F& f) {
  constexpr int w = simd::lanes<C>;
  using V = simd::batch<C>;
  V s[4] = {simd::fill<C>(0), simd::fill<C>(0), simd::fill<C>(0), simd::fill<C>(0)};
  std::int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w)
    for (int u = 0; u < 4; ++u) s[u] += f(simd::load<C>(x + i + u * w));
  for (; i + w <= n; i += w) s[0] += f(simd::load<C>(x + i));
  C sum = simd::sum<C>((s[0] + s[1]) + (s[2] + s[3]));
  if (i < n) {
    alignas(64) C tail[w];
    simd::store<C>(tail, f(simd::load_first<C>(x + i, n - i)));
    for (std::int64_t k = 0; k < n - i; ++k) sum += tail[k];
  }
  return sum;
}

template <class C>
struct RowMoments { C mean, rstd; };

template <class C>
RowMoments<C> moments(std::int64_t n, const C* x, C eps) {
  const C mean = row_sum<C>(n, x, [](const simd::batch<C>& v) { return v; }) / static_cast<C>(n);
  const simd::batch<C> m = simd::fill<C>(mean);
  const C var = row_sum<C>(n, x, [&](const simd::batch<C>& v) { return (v - m) * (v - m); }) / static_cast<C>(n);
  return {mean, C(1) / math::sqrt(var + eps)};
}

/// The row itself if it is in the compute type, else a widened copy in `buffer`.
template <class T>
const compute_t<T>* widened_row(std::int64_t n, const T* x, [[maybe_unused]] compute_t<T>* buffer) {
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    return x;
  } else {
    convert(n, x, buffer);
    return buffer;
  }
}

/// y = (x - mean) * rstd * factor + offset; `factor` and `offset` fold everything that is constant per channel.
template <class T>
void normalize_row(std::int64_t n, const T* x, const compute_t<T>* factor, const compute_t<T>* offset, T* y, compute_t<T> eps, compute_t<T>* buffer) {
  using C = compute_t<T>;
  using V = simd::batch<C>;
  const C* row = widened_row(n, x, buffer);
  const RowMoments<C> m = moments(n, row, eps);
  const V mean = simd::fill<C>(m.mean), rstd = simd::fill<C>(m.rstd);
  if constexpr (std::is_same_v<T, C>) {
    simd::transform<T>(n, y, [&](const V& v, const V& f, const V& o) { return simd::fma<C>((v - mean) * rstd, f, o); }, row, factor, offset);
  } else {
    simd::transform<C>(n, buffer, [&](const V& v, const V& f, const V& o) { return simd::fma<C>((v - mean) * rstd, f, o); }, row, factor, offset);
    convert(n, buffer, y);
  }
}

/// Rows [A, R, C] of x in items of a few rows: f(a, row, buffer), `buffer` being C elements of the calling thread.
template <class C, class F>
void for_rows(CpuContext& ctx, const Ref& x, const F& f) {
  const std::int64_t rows = x.shape[1], c = x.shape[2], block = std::max<std::int64_t>(1, pointwise_grain / c), blocks = (rows + block - 1) / block;
  const std::int64_t width = (c + 15) / 16 * 16;  // buffers start on cache lines
  const auto scratch = ctx.scratch(static_cast<std::size_t>(ctx.threads) * static_cast<std::size_t>(width) * sizeof(C));
  C* buffers = scratch.template as<C>();
  parallel_for(x.shape[0] * blocks, ctx.threads, [&](std::int64_t item) {
    const std::int64_t first = item % blocks * block;
    f(item / blocks, first, std::min(first + block, rows), buffers + thread_index() * width);
  });
}

template <class T>
void layer_norm(CpuContext& ctx, const LayerNorm& op) {
  using C = compute_t<T>;
  const auto x = op.x.view<const T, 3>();
  const auto y = op.y.view<T, 3>();
  const std::int64_t c = x.size[2];
  const auto scratch = ctx.scratch(2 * static_cast<std::size_t>(c) * sizeof(C));
  C* factor = scratch.template as<C>();
  C* offset = factor + c;
  if (op.weight) widen(op.weight, factor);
  else std::fill_n(factor, c, C(1));
  if (op.bias) widen(op.bias, offset);
  else std::fill_n(offset, c, C(0));
  for_rows<C>(ctx, op.x, [&](std::int64_t a, std::int64_t begin, std::int64_t end, C* buffer) {
    for (std::int64_t r = begin; r < end; ++r) normalize_row<T>(c, &x(a, r, 0), factor, offset, &y(a, r, 0), C(op.eps), buffer);
  });
}

/// LN = n * w + b with n the normalised row, so LN * (1 + scale) + shift = n * (w (1 + scale)) + (b (1 + scale) + shift):
/// one multiply-add per element, with two vectors per group that are made once.
template <class T>
void ada_layer_norm(CpuContext& ctx, const AdaLayerNorm& op) {
  using C = compute_t<T>;
  const auto x = op.x.view<const T, 3>();
  const auto y = op.y.view<T, 3>();
  const auto runs = op.runs.view<const std::int64_t, 2>();
  const std::int64_t c = x.size[2], table = op.scale.shape.numel();
  const auto scratch = ctx.scratch(2 * static_cast<std::size_t>(table + c) * sizeof(C));
  C* weight = scratch.template as<C>();
  C* bias = weight + c;
  C* factor = bias + c;
  C* offset = factor + table;
  if (op.weight) widen(op.weight, weight);
  else std::fill_n(weight, c, C(1));
  if (op.bias) widen(op.bias, bias);
  else std::fill_n(bias, c, C(0));
  const View<const C, 3> scale = widened(op.scale, factor);
  widened(op.shift, offset);
  for (std::int64_t i = 0; i < table; ++i) {
    const C by = C(1) + factor[i];
    factor[i] = weight[i % c] * by;
    offset[i] += bias[i % c] * by;
  }
  for_rows<C>(ctx, op.x, [&](std::int64_t a, std::int64_t begin, std::int64_t end, C* buffer) {
    for_rows_in_runs(runs, begin, end, [&](std::int64_t r, std::int64_t group) {
      const std::int64_t at = a * scale.stride[0] + group * scale.stride[1];
      normalize_row<T>(c, &x(a, r, 0), factor + at, offset + at, &y(a, r, 0), C(op.eps), buffer);
    });
  });
}

template <class T>
void rms_norm(CpuContext& ctx, const RmsNorm& op) {
  using C = compute_t<T>;
  using V = simd::batch<C>;
  const auto x = op.x.view<const T, 3>();
  const auto y = op.y.view<T, 3>();
  const std::int64_t c = x.size[2];
  const auto scratch = ctx.scratch(static_cast<std::size_t>(c) * sizeof(C));
  C* weight = scratch.template as<C>();
  widen(op.weight, weight);
  for_rows<C>(ctx, op.x, [&](std::int64_t a, std::int64_t begin, std::int64_t end, C* buffer) {
    for (std::int64_t r = begin; r < end; ++r) {
      const C* row = widened_row(c, &x(a, r, 0), buffer);
      const C mean = row_sum<C>(c, row, [](const V& v) { return v * v; }) / static_cast<C>(c);
      const V rstd = simd::fill<C>(C(1) / math::sqrt(mean + C(op.eps)));
      T* to = &y(a, r, 0);
      simd::transform<T>(c, to, [&](const V& v) { return v * rstd; }, row);  // rounded here, and again below
      simd::transform<T>(c, to, [](const V& v, const V& w) { return v * w; }, static_cast<const T*>(to), static_cast<const C*>(weight));
    }
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const LayerNorm& op) {
  if (op.x.shape.numel() > 0) dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::layer_norm<T>(ctx, op); });
}
KINEMA_KERNEL void run(CpuContext& ctx, const AdaLayerNorm& op) {
  if (op.x.shape.numel() > 0) dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::ada_layer_norm<T>(ctx, op); });
}
KINEMA_KERNEL void run(CpuContext& ctx, const RmsNorm& op) {
  if (op.x.shape.numel() > 0) dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::rms_norm<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
