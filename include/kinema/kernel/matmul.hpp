// kinema/kernel/matmul.hpp - contracts of the matrix products.
#pragma once

#include <kinema/kernel/elementwise.hpp>  // Activation, bytes_of
#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// y = activation(x weight^T + bias): products and sums in the compute type of x, one rounding after the activation.
/// Weights of 8-bit integers stand for weight_scale[n] weight[n, k]; the scale multiplies the sum.
/// weight.attachment, if set, may keep the weights in a form of the backend's own.
struct Linear {
  static constexpr std::string_view name = "linear";
  Ref x;       ///< [M, K] floating, last axis of stride 1, rows at any stride
  Ref weight;  ///< [N, K] any floating dtype or i8, contiguous
  Ref bias;    ///< [N] any floating dtype, contiguous; or empty for 0
  Ref y;       ///< [M, N] dtype of x, contiguous, written
  Activation activation;
  Ref weight_scale = {};  ///< [N] f32, contiguous, beside i8 weights; else empty
  double flops() const { return 2.0 * detail::numel_of(y) * static_cast<double>(x.size(1)); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(weight) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Linear&);  // kernel/cpu/matmul.hpp
void run(CudaContext&, const Linear&);               // kernel/cuda/matmul.hpp

/// q[n, k] = round(w[n, k] / scale[n]) with scale[n] = max over k of |w[n, k]| / 127, ties to even: 8-bit integers that
/// Linear takes, each within half a scale of its weight. A row of zeros has scale 0.
struct QuantizeRows {
  static constexpr std::string_view name = "quantize_rows";
  Ref w;      ///< [N, K] floating and finite, contiguous
  Ref q;      ///< [N, K] i8, contiguous, written
  Ref scale;  ///< [N] f32, contiguous, written
  double flops() const { return 2.0 * detail::numel_of(w); }
  double bytes() const { return detail::bytes_of(w) + detail::bytes_of(q); }
};
KINEMA_KERNEL void run(CpuContext&, const QuantizeRows&);  // kernel/cpu/matmul.hpp

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
