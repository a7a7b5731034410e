// kinema/kernel/cpu/detail/gemm.hpp - one matrix product on the calling thread, by the best library of this build.
//
// f32: oneDNN, else Eigen. f64: Eigen. Where there is no library, or one operand is not a plain matrix of the compute
// type (16-bit elements, two strides), the register tiles of blocked.hpp, which widen and straighten on the way.
#pragma once

#include <kinema/kernel/cpu/detail/blocked.hpp>
#include <kinema/kernel/cpu/detail/eigen.hpp>
#include <kinema/kernel/cpu/detail/onednn.hpp>

#include <algorithm>
#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// Whether a library of this build multiplies matrices of C.
template <class C> inline constexpr bool has_library = KINEMA_WITH_EIGEN || (KINEMA_WITH_ONEDNN && std::is_same_v<C, float>);

/// Whether a library can read the matrix where it lies: lines of stride 1 that do not overlap.
template <class C>
bool is_plain(const blocked::Source& s, std::int64_t rows, std::int64_t columns) {
  if (s.dtype != dtype_of<C>) return false;
  if (s.column == 1) return rows <= 1 || s.row >= columns;
  return s.row == 1 && (columns <= 1 || s.column >= rows);
}

/// c [m, n] = rows [m0, m0 + m) of a times columns [n0, n0 + n) of b, both plain; false if no library took it.
template <class C>
bool library_product(const blocked::Source& a, std::int64_t m0, std::int64_t m, const blocked::Source& b, std::int64_t n0, std::int64_t n, std::int64_t k,
                     [[maybe_unused]] C* c, [[maybe_unused]] std::int64_t ldc) {
  const bool turn_a = a.column != 1, turn_b = b.column != 1;
  [[maybe_unused]] const C* left = static_cast<const C*>(a.data) + m0 * a.row;
  [[maybe_unused]] const C* right = static_cast<const C*>(b.data) + n0 * b.column;
  // a stride along an axis of size 1 may be anything; libraries want one that holds a line
  [[maybe_unused]] const std::int64_t lda = std::max({turn_a ? a.column : a.row, turn_a ? m : k, std::int64_t{1}});
  [[maybe_unused]] const std::int64_t ldb = std::max({turn_b ? b.column : b.row, turn_b ? k : n, std::int64_t{1}});
#if KINEMA_WITH_ONEDNN
  if constexpr (std::is_same_v<C, float>)
    if (onednn::sgemm(turn_a, turn_b, m, n, k, left, lda, right, ldb, c, ldc)) return true;
#endif
#if KINEMA_WITH_EIGEN
  eigen::gemm<C>(turn_a, turn_b, m, n, k, left, lda, right, ldb, c, ldc);
  return true;
#else
  return false;
#endif
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
