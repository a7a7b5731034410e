// kinema/kernel/cpu/detail/eigen.hpp - the Eigen adapter: matrix products of f64, and of f32 in builds without oneDNN.
#pragma once

#include <kinema/core/config.hpp>

#if KINEMA_WITH_EIGEN
#include <Eigen/Core>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cpu::eigen {

/// c [m, n] = a b, row-major; a is [m, k] or, transposed, [k, m]; b is [k, n] or, transposed, [n, k].
template <class C>
void gemm(bool transposed_a, bool transposed_b, std::int64_t m, std::int64_t n, std::int64_t k, const C* a, std::int64_t lda, const C* b,
          std::int64_t ldb, C* c, std::int64_t ldc) {
  using Matrix = Eigen::Matrix<C, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  using In = Eigen::Map<const Matrix, 0, Stride>;
  Eigen::Map<Matrix, 0, Stride> y(c, m, n, Stride(ldc));
  const In left(a, transposed_a ? k : m, transposed_a ? m : k, Stride(lda)), right(b, transposed_b ? n : k, transposed_b ? k : n, Stride(ldb));
  if (transposed_a && transposed_b) y.noalias() = left.transpose() * right.transpose();
  else if (transposed_a) y.noalias() = left.transpose() * right;
  else if (transposed_b) y.noalias() = left * right.transpose();
  else y.noalias() = left * right;
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu::eigen
#endif
