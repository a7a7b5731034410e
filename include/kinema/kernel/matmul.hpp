// kinema/kernel/matmul.hpp - contracts of the matrix products.
#pragma once

#include <kinema/kernel/elementwise.hpp>  // Activation, bytes_of
#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// y = activation(x weight^T + bias): products and sums in the compute type of x, one rounding after the activation.
/// weight.attachment, if set, may keep the weights in a form of the backend's own.
struct Linear {
  static constexpr std::string_view name = "linear";
  Ref x;       ///< [M, K] floating, last axis of stride 1, rows at any stride
  Ref weight;  ///< [N, K] any floating dtype, contiguous
  Ref bias;    ///< [N] any floating dtype, contiguous; or empty for 0
  Ref y;       ///< [M, N] dtype of x, contiguous, written
  Activation activation;
  double flops() const { return 2.0 * detail::numel_of(y) * static_cast<double>(x.size(1)); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(weight) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Linear&);  // kernel/cpu/matmul.hpp
void run(CudaContext&, const Linear&);               // kernel/cuda/matmul.hpp

/// y[i] = a[i] b[i], a stack of matrix products; sums in the compute type, rounded once.
struct MatMul {
  static constexpr std::string_view name = "matmul";
  Ref a;  ///< [B, M, K] floating, any strides (0 where one matrix is used for the whole stack)
  Ref b;  ///< [B, K, N] dtype of a, any strides
  Ref y;  ///< [B, M, N] dtype of a, contiguous, written
  double flops() const { return 2.0 * detail::numel_of(y) * static_cast<double>(a.size(2)); }
  double bytes() const { return detail::bytes_of(a) + detail::bytes_of(b) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const MatMul&);
void run(CudaContext&, const MatMul&);

}  // namespace kinema::inline KINEMA_ABI::kernel
