// kinema/kernel/cpu/detail/gemm.hpp - one matrix product on the calling thread, by the best library of this build.
//
// f32: oneDNN, else Eigen, else loops. f64: Eigen, else loops.
#pragma once

#include <kinema/kernel/cpu/detail/eigen.hpp>
#include <kinema/kernel/cpu/detail/onednn.hpp>
#include <kinema/kernel/cpu/detail/simd.hpp>

#include <algorithm>
#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

namespace loops {

/// R rows of a against W batches of columns of b, both walked along k. b is [k, n].
template <class C, int R, int W>
void tile(std::int64_t k, const C* a, std::int64_t row, std::int64_t column, const C* b, std::int64_t ldb, C* c, std::int64_t ldc) {
  using V = simd::batch<C>;
  constexpr int w = simd::lanes<C>;
  V sum[R][W];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < W; ++j) sum[r][j] = simd::load_compute<C>(c + r * ldc + j * w);
  for (std::int64_t i = 0; i < k; ++i) {
    V right[W];
    for (int j = 0; j < W; ++j) right[j] = simd::load_compute<C>(b + i * ldb + j * w);
    for (int r = 0; r < R; ++r) {
      const V left = simd::fill<C>(a[r * row + i * column]);
      for (int j = 0; j < W; ++j) sum[r][j] = simd::fma<C>(left, right[j], sum[r][j]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < W; ++j) simd::store_compute<C>(c + r * ldc + j * w, sum[r][j]);
}

/// c [m, n] = a b (+ c). Blocks of b are laid out as [k, columns] first, padded with zeros to whole batches.
template <class C>
void gemm(bool transposed_a, bool transposed_b, std::int64_t m, std::int64_t n, std::int64_t k, const C* a, std::int64_t lda, const C* b,
          std::int64_t ldb, bool accumulate, C* c, std::int64_t ldc) {
  constexpr int w = simd::lanes<C>, rows = 4, columns = 2 * w;
  constexpr std::int64_t depth = 256;  // a block of b is 16 KB: it stays in the first-level cache
  const std::int64_t row = transposed_a ? 1 : lda, column = transposed_a ? lda : 1;
  if (!accumulate)
    for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, C(0));
  alignas(64) C block[depth * columns], edge[rows * columns];
  for (std::int64_t k0 = 0; k0 < k; k0 += depth)
    for (std::int64_t n0 = 0; n0 < n; n0 += columns) {
      const std::int64_t deep = std::min(depth, k - k0), wide = std::min<std::int64_t>(columns, n - n0);
      for (std::int64_t i = 0; i < deep; ++i)
        for (std::int64_t j = 0; j < columns; ++j)
          block[i * columns + j] = j >= wide ? C(0) : transposed_b ? b[(n0 + j) * ldb + k0 + i] : b[(k0 + i) * ldb + n0 + j];
      for (std::int64_t m0 = 0; m0 < m; m0 += rows) {
        const std::int64_t high = std::min<std::int64_t>(rows, m - m0);
        const C* left = a + m0 * row + k0 * column;
        C* to = c + m0 * ldc + n0;
        if (high == rows && wide == columns) {
          tile<C, rows, 2>(deep, left, row, column, block, columns, to, ldc);
          continue;
        }
        for (std::int64_t r = 0; r < high; ++r) {
          std::copy_n(to + r * ldc, wide, edge);
          std::fill_n(edge + wide, columns - wide, C(0));
          tile<C, 1, 2>(deep, left + r * row, row, column, block, columns, edge, columns);
          std::copy_n(edge, wide, to + r * ldc);
        }
      }
    }
}

}  // namespace loops

/// c [m, n] = a b (+ c), row-major; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed, [n, k].
template <class C>
void gemm(bool transposed_a, bool transposed_b, std::int64_t m, std::int64_t n, std::int64_t k, const C* a, std::int64_t lda, const C* b,
          std::int64_t ldb, bool accumulate, C* c, std::int64_t ldc) {
  if (k == 0) {
    if (!accumulate)
      for (std::int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, C(0));
    return;
  }
#if KINEMA_WITH_ONEDNN
  if constexpr (std::is_same_v<C, float>)
    if (onednn::sgemm(transposed_a, transposed_b, m, n, k, a, lda, b, ldb, accumulate, c, ldc)) return;
#endif
#if KINEMA_WITH_EIGEN
  eigen::gemm<C>(transposed_a, transposed_b, m, n, k, a, lda, b, ldb, accumulate, c, ldc);
#else
  loops::gemm<C>(transposed_a, transposed_b, m, n, k, a, lda, b, ldb, accumulate, c, ldc);
#endif
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
