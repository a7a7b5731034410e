// kinema/kernel/norm.hpp - contracts of the normalisations over the last axis.
//
// All of them take rows as [A, R, C]: a window on a sequence (the video tokens of a joint sequence, say) keeps its two
// strides and needs no copy. Statistics are in the compute type (f32; f64 for f64), in two passes, mean first.
#pragma once

#include <kinema/kernel/elementwise.hpp>  // bytes_of
#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the last axis, population variance, rounded once.
struct LayerNorm {
  static constexpr std::string_view name = "layer_norm";
  Ref x;       ///< [A, R, C] floating, last axis of stride 1, other strides free
  Ref weight;  ///< [C] any floating dtype, contiguous; or empty for 1
  Ref bias;    ///< [C] any floating dtype, contiguous; or empty for 0
  Ref y;       ///< [A, R, C] dtype of x, contiguous, written
  double eps;
  double flops() const { return 7.0 * detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const LayerNorm&);  // kernel/cpu/norm.hpp
void run(CudaContext&, const LayerNorm&);               // kernel/cuda/norm.cuh

/// y = weight * round(x / sqrt(mean(x^2) + eps)) over the last axis; round is to the dtype of x, as in T5, the product
/// is rounded again.
struct RmsNorm {
  static constexpr std::string_view name = "rms_norm";
  Ref x;       ///< [A, R, C] floating, last axis of stride 1, other strides free
  Ref weight;  ///< [C] any floating dtype, contiguous
  Ref y;       ///< [A, R, C] dtype of x, contiguous, written
  double eps;
  double flops() const { return 4.0 * detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const RmsNorm&);
void run(CudaContext&, const RmsNorm&);

/// y[a, r] = LayerNorm(x[a, r]) * (1 + scale[a, g]) + shift[a, g], g the group of the run that holds row r; rounded once.
struct AdaLayerNorm {
  static constexpr std::string_view name = "ada_layer_norm";
  Ref x;       ///< [A, R, C] floating, last axis of stride 1, other strides free
  Ref weight;  ///< [C] any floating dtype, contiguous; or empty for 1
  Ref bias;    ///< [C] any floating dtype, contiguous; or empty for 0
  Ref shift;   ///< [A, G, C] any floating dtype, last axis of stride 1, other strides free
  Ref scale;   ///< as shift (its own strides)
  Ref runs;    ///< [N, 2] i64 on the host, contiguous: (end, group), ends ascending to R, groups below G
  Ref y;       ///< [A, R, C] dtype of x, contiguous, written
  double eps;
  double flops() const { return 9.0 * detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y) + detail::bytes_of(shift) + detail::bytes_of(scale); }
};
KINEMA_KERNEL void run(CpuContext&, const AdaLayerNorm&);
void run(CudaContext&, const AdaLayerNorm&);

}  // namespace kinema::inline KINEMA_ABI::kernel
