// kinema/kernel/rope.hpp - contract of the rotary embedding, alone or fused with the layer norm of queries and keys.
#pragma once

#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// Over each vector u of D elements:
///   if normalize:  u = (u - mean(u)) / sqrt(var(u) + eps) * weight + bias    (population variance)
///   if s >= first: u[d] = u[d] cos[s - first, d] + r[d] sin[s - first, d],  r[2j] = -u[2j + 1],  r[2j + 1] = u[2j]
/// Arithmetic in the compute type, one rounding out. y may be x itself.
struct QkNormRope {
  static constexpr std::string_view name = "qk_norm_rope";
  Ref x;            ///< [B, S, H, D] floating; last axis of stride 1, other strides free
  Ref weight;       ///< [D] floating, or empty for 1
  Ref bias;         ///< [D] floating, dtype of weight, or empty for 0
  Ref cos, sin;     ///< [N, D] f32 or f64, N >= S - first, each angle twice in a row; both empty: no rotation
  Ref y;            ///< [B, S, H, D], dtype and rule of x, written
  double eps;
  std::int64_t first;  ///< rows (text tokens) in front that are not rotated
  bool normalize;

  double flops() const { return 8.0 * static_cast<double>(x.shape.numel()); }
  double bytes() const { return 2.0 * static_cast<double>(x.shape.numel()) * static_cast<double>(size_of(x.dtype)); }
};
KINEMA_KERNEL void run(CpuContext&, const QkNormRope&);  // kernel/cpu/rope.hpp

}  // namespace kinema::inline KINEMA_ABI::kernel
