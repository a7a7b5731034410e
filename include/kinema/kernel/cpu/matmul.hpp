// kinema/kernel/cpu/matmul.hpp - matrix products in fixed tiles, each computed by one thread.
//
// Libraries split a product by the number of threads, and sums then have other bits. Here the tiles depend on the shape
// alone; a tile is one call of the library, and its epilogue (bias, activation, rounding) runs while it is in the cache.
// Operands that the library cannot read (16-bit, or strided both ways) are widened block by block into scratch.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/kernel/cpu/detail/activation.hpp>
#include <kinema/kernel/cpu/detail/convert.hpp>
#include <kinema/kernel/cpu/detail/gemm.hpp>
#include <kinema/kernel/matmul.hpp>

#include <algorithm>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

inline constexpr std::int64_t tile_rows = 304, tile_columns = 480;  ///< of y, per item
inline constexpr std::int64_t widened_depth = 1024;                 ///< of k, per block of an operand that must be widened

/// A stack of matrices as the library may or may not take them.
struct Operand {
  const void* data;
  DType dtype;
  std::int64_t matrix, row, column;  ///< strides
};

template <class C>
struct Block {
  const C* data;
  std::int64_t stride;
  bool transposed;
};

template <class C>
bool needs_widening(const Operand& o) { return o.dtype != dtype_of<C> || (o.row != 1 && o.column != 1); }

/// Rows [r, r + rows) and columns [c, c + columns) of matrix i, in place or copied into `buffer`.
template <class C>
Block<C> block_of(const Operand& o, std::int64_t i, std::int64_t r, std::int64_t rows, std::int64_t c, std::int64_t columns, C* buffer) {
  const std::int64_t offset = i * o.matrix + r * o.row + c * o.column;
  const bool transposed = o.column != 1 && o.row == 1;
  if (!needs_widening<C>(o)) return {static_cast<const C*>(o.data) + offset, std::max<std::int64_t>(1, transposed ? o.column : o.row), transposed};
  const std::int64_t lines = transposed ? columns : rows, length = transposed ? rows : columns;
  const std::int64_t line = transposed ? o.column : o.row, step = transposed ? o.row : o.column;
  dispatch_floating(o.dtype, "block_of", [&]<class T>(Type<T>) {
    for (std::int64_t l = 0; l < lines; ++l) {
      const T* from = static_cast<const T*>(o.data) + offset + l * line;
      if (step == 1) convert(length, from, buffer + l * length);
      else
        for (std::int64_t e = 0; e < length; ++e) convert(1, from + e * step, buffer + l * length + e);
    }
  });
  return {buffer, std::max<std::int64_t>(1, length), transposed};
}

/// y [B, M, N] = a [B, M, K] b [B, K, N] in tiles; `finish(row of sums, first column, count, row of y)` ends each row of a tile.
template <class T, class Finish>
void tiled_product(CpuContext& ctx, const Operand& a, const Operand& b, const View<T, 3>& y, std::int64_t k, const Finish& finish) {
  using C = compute_t<T>;
  constexpr bool in_place = std::is_same_v<T, C>;
  const std::int64_t m = y.size[1], n = y.size[2];
  const std::int64_t tiles_m = (m + tile_rows - 1) / tile_rows, tiles_n = (n + tile_columns - 1) / tile_columns;
  const bool widen_a = needs_widening<C>(a), widen_b = needs_widening<C>(b);
  const std::int64_t high = std::min(m, tile_rows), wide = std::min(n, tile_columns), deep = widen_a || widen_b ? std::min(k, widened_depth) : k;
  const std::int64_t size_a = widen_a ? high * deep : 0, size_b = widen_b ? wide * deep : 0, size_c = in_place ? 0 : high * wide;
  const std::int64_t buffer = (size_a + size_b + size_c + 15) / 16 * 16;
  const auto scratch = ctx.scratch(static_cast<std::size_t>(ctx.threads) * static_cast<std::size_t>(buffer) * sizeof(C));
  C* buffers = scratch.template as<C>();
  const OneThread libraries_do_not_split;
  parallel_for(y.size[0] * tiles_n * tiles_m, ctx.threads, [&](std::int64_t item) {
    const OneThread nor_do_they_inside_a_team;
    const std::int64_t i = item / (tiles_n * tiles_m), m0 = item % tiles_m * tile_rows, n0 = item / tiles_m % tiles_n * tile_columns;
    const std::int64_t rows = std::min(tile_rows, m - m0), columns = std::min(tile_columns, n - n0);
    C* own = buffers + thread_index() * buffer;
    C* sums;
    std::int64_t stride;
    if constexpr (in_place) sums = &y(i, m0, n0), stride = y.stride[1];
    else sums = own + size_a + size_b, stride = columns;
    for (std::int64_t k0 = 0; k0 < std::max<std::int64_t>(k, 1); k0 += std::max<std::int64_t>(deep, 1)) {
      const std::int64_t d = std::min(deep, k - k0);
      const Block<C> left = block_of<C>(a, i, m0, rows, k0, d, own), right = block_of<C>(b, i, k0, d, n0, columns, own + size_a);
      gemm<C>(left.transposed, right.transposed, rows, columns, d, left.data, left.stride, right.data, right.stride, k0 > 0, sums, stride);
    }
    for (std::int64_t r = 0; r < rows; ++r) finish(sums + r * stride, n0, columns, &y(i, m0 + r, n0));
  });
}

template <class T>
void linear(CpuContext& ctx, const Linear& op) {
  using C = compute_t<T>;
  using V = simd::batch<C>;
  const std::int64_t m = op.y.shape[0], n = op.y.shape[1], k = op.x.shape[1];
  const Operand a{op.x.data, op.x.dtype, 0, op.x.stride[0], 1}, b{op.weight.data, op.weight.dtype, 0, 1, k};
  const View<T, 3> y{static_cast<T*>(op.y.data), {1, m, n}, {0, n, 1}};
  const auto scratch = ctx.scratch(static_cast<std::size_t>(n) * sizeof(C));
  C* bias = scratch.template as<C>();
  if (op.bias) widen(op.bias, bias);
  else std::fill_n(bias, n, C(0));
  dispatch_activation(op.activation, [&](auto activation) {
    tiled_product<T>(ctx, a, b, y, k, [&](const C* sums, std::int64_t first, std::int64_t count, T* to) {
      simd::transform<T>(count, to, [&](const V& s, const V& c) { return activate<C>(activation, s + c); }, sums, static_cast<const C*>(bias + first));
    });
  });
}

template <class T>
void matmul(CpuContext& ctx, const MatMul& op) {
  using C = compute_t<T>;
  const auto operand = [](const Ref& r) { return Operand{r.data, r.dtype, r.stride[0], r.stride[1], r.stride[2]}; };
  tiled_product<T>(ctx, operand(op.a), operand(op.b), op.y.view<T, 3>(), op.a.shape[2], [](const C* sums, std::int64_t, std::int64_t count, T* to) {
    if constexpr (!std::is_same_v<T, C>) convert(count, sums, to);
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Linear& op) {
  dispatch_floating(op.x.dtype, op.name, [&]<class T>(Type<T>) { cpu::linear<T>(ctx, op); });
}
KINEMA_KERNEL void run(CpuContext& ctx, const MatMul& op) {
  dispatch_floating(op.a.dtype, op.name, [&]<class T>(Type<T>) { cpu::matmul<T>(ctx, op); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
