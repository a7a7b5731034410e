// kinema/kernel/cpu/detail/blocked.hpp - a matrix product on the calling thread, made of register tiles.
//
// Sixteen columns of b (two SIMD batches) are laid out along k in a panel that fills half of the first-level cache; rows of
// a are copied to the second-level cache, and six of them at a time run along the panel with their twelve sums in registers.
// Both copies widen 16-bit elements and straighten strides on the way, so every operand costs the same.
#pragma once

#include <kinema/kernel/cpu/detail/convert.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace kinema::inline KINEMA_ABI::kernel::cpu::blocked {

template <class C> inline constexpr int panel_columns = 2 * simd::lanes<C>;
/// Rows of a register tile: with two batches per row, the sums leave room for two batches of b and one of a.
template <class C> inline constexpr int panel_rows = sizeof(simd::batch<C>) == 64 ? 12 : 6;
inline constexpr std::int64_t most_depth = 384;  ///< of k per panel

/// A matrix in memory, of any floating type (b: or of 8-bit integers) and any strides.
struct Source {
  const void* data;
  DType dtype;
  std::int64_t row, column;
};

/// Rows [r, r + rows) and columns [c, c + columns), widened, into `to` with rows `stride` apart.
template <class C>
void copy_rows(const Source& s, std::int64_t r, std::int64_t rows, std::int64_t c, std::int64_t columns, C* to, std::int64_t stride) {
  dispatch_floating(s.dtype, "copy_rows", [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* from = static_cast<const T*>(s.data) + (r + i) * s.row + c * s.column;
      if (s.column == 1) convert(columns, from, to + i * stride);
      else
        for (std::int64_t j = 0; j < columns; ++j) to[i * stride + j] = round_to<C>(static_cast<compute_t<T>>(from[j * s.column]));
    }
  });
}

/// w rows of w elements, `row` apart, written as columns of `to`, whose rows are `stride` apart.
template <class C, class T>
void transpose_square(const T* from, std::int64_t row, C* to, std::int64_t stride) {
  constexpr int w = simd::lanes<C>;
#if KINEMA_WITH_XSIMD && defined(__AVX__) && !defined(__AVX512F__)
  if constexpr (std::is_same_v<C, float> && std::is_same_v<compute_t<T>, float>) {
    __m256 r[8], s[8];
    for (int i = 0; i < 8; ++i) r[i] = simd::load<T>(from + i * row);
    for (int i = 0; i < 8; i += 2) s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    for (int i = 0; i < 8; i += 4)
      for (int j = 0; j < 2; ++j) {
        r[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + 2 + j], 0x44);
        r[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + 2 + j], 0xEE);
      }
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(to + i * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
      _mm256_storeu_ps(to + (i + 4) * stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
    return;
  }
#endif
  for (int i = 0; i < w; ++i)
    for (int j = 0; j < w; ++j) to[j * stride + i] = round_to<C>(static_cast<compute_t<T>>(from[i * row + j]));
}

/// Rows [k, k + depth) of columns [n, n + count) as a panel [depth, panel_columns], zeros beyond `count`.
template <class C>
void pack_panel(const Source& s, std::int64_t k, std::int64_t depth, std::int64_t n, std::int64_t count, C* panel) {
  constexpr int columns = panel_columns<C>, w = simd::lanes<C>;
  dispatch_weight(s.dtype, "pack_panel", [&]<class T>(Type<T>) {
    const T* from = static_cast<const T*>(s.data) + k * s.row + n * s.column;
    std::int64_t done = 0;
    if (count == columns && s.row == 1)
      for (; done + w <= depth; done += w)
        for (int half = 0; half < 2; ++half) transpose_square<C>(from + done + half * w * s.column, s.column, panel + done * columns + half * w, columns);
    for (std::int64_t i = done; i < depth; ++i) {
      if (count == columns && s.column == 1) convert(columns, from + i * s.row, panel + i * columns);
      else
        for (std::int64_t j = 0; j < columns; ++j)
          panel[i * columns + j] = j < count ? round_to<C>(static_cast<compute_t<T>>(from[i * s.row + j * s.column])) : C(0);
    }
  });
}

/// R rows of a times a panel: c [R, panel_columns] = or += the products along k.
template <class C, int R>
void register_tile(std::int64_t depth, const C* a, std::int64_t lda, const C* panel, bool accumulate, C* c, std::int64_t ldc) {
  using V = simd::batch<C>;
  constexpr int w = simd::lanes<C>;
  V sum[R][2];
  for (int r = 0; r < R; ++r) {
    __builtin_prefetch(c + r * ldc, 1);
    sum[r][0] = sum[r][1] = simd::fill<C>(C(0));
  }
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < depth; ++k) {
    const V b0 = simd::load_compute<C>(panel + k * 2 * w), b1 = simd::load_compute<C>(panel + k * 2 * w + w);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V left = simd::fill<C>(a[r * lda + k]);
      sum[r][0] = simd::fma<C>(left, b0, sum[r][0]);
      sum[r][1] = simd::fma<C>(left, b1, sum[r][1]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 2; ++j) {
      C* to = c + r * ldc + j * w;
      simd::store_compute<C>(to, accumulate ? simd::load_compute<C>(to) + sum[r][j] : sum[r][j]);
    }
}

/// A column of register tiles: all rows of the block against one panel. `edge` holds tiles that hang over the border.
template <class C>
void panel_product(std::int64_t rows, std::int64_t count, std::int64_t depth, const C* a, std::int64_t lda, const C* panel, bool accumulate, C* c,
                   std::int64_t ldc) {
  constexpr int high = panel_rows<C>, columns = panel_columns<C>;
  alignas(64) C edge[columns];
  std::int64_t r = 0;
  if (count == columns) {
    for (; r + high <= rows; r += high) register_tile<C, high>(depth, a + r * lda, lda, panel, accumulate, c + r * ldc, ldc);
    for (; r + 2 <= rows; r += 2) register_tile<C, 2>(depth, a + r * lda, lda, panel, accumulate, c + r * ldc, ldc);
  }
  for (; r < rows; ++r) {
    if (accumulate) std::copy_n(c + r * ldc, count, edge), std::fill_n(edge + count, columns - count, C(0));
    register_tile<C, 1>(depth, a + r * lda, lda, panel, accumulate, edge, columns);
    std::copy_n(edge, count, c + r * ldc);
  }
}

/// Elements of scratch that `product` needs for blocks of so many rows.
template <class C>
std::int64_t scratch_size(std::int64_t rows) { return rows * (most_depth + 16) + most_depth * panel_columns<C>; }

/// c [m, n] = a[m0 ..., :] b[:, n0 ...] over k, with rows of c `ldc` apart.
template <class C>
void product(const Source& a, std::int64_t m0, std::int64_t m, const Source& b, std::int64_t n0, std::int64_t n, std::int64_t k, C* c, std::int64_t ldc,
             C* scratch) {
  constexpr std::int64_t columns = panel_columns<C>;
  const std::int64_t blocks = std::max<std::int64_t>(1, (k + most_depth - 1) / most_depth), step = (k / blocks + 15) / 16 * 16 + (k == 0 ? 16 : 0);
  const std::int64_t lda = most_depth + 16;  // not a multiple of 4 KB: rows must not share cache sets
  C* panel = scratch;
  C* rows = scratch + most_depth * columns;
  for (std::int64_t k0 = 0; k0 == 0 || k0 < k; k0 += step) {
    const std::int64_t depth = std::min(step, k - k0);
    copy_rows(a, m0, m, k0, depth, rows, lda);
    for (std::int64_t j = 0; j < n; j += columns) {
      const std::int64_t count = std::min(columns, n - j);
      pack_panel(b, k0, depth, n0 + j, count, panel);
      panel_product(m, count, depth, rows, lda, panel, k0 > 0, c + j, ldc);
    }
  }
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu::blocked
