// kinema/kernel/group_norm.hpp - contract of group normalisation over blocked activations, with everything that follows it.
#pragma once

#include <kinema/kernel/functor.hpp>
#include <kinema/kernel/launch.hpp>

namespace kinema::inline KINEMA_ABI::kernel {

/// y = act(n) or, with maps, y = act(n scale[at] + shift[at]), n = (x - mean) rstd weight + bias; statistics of each
/// sample and group over its channels, frames and pixels. A map of t x h x w positions is read at the nearest one:
/// at = (t', i / (H/h), j / (W/w)), t' = t * t_map / T, and with first = 1 frame 0 stands alone: 1 + (t-1) (t_map-1) / (T-1).
struct GroupNorm {
  static constexpr std::string_view name = "group_norm";
  Ref x;             ///< [B, C/b, T, H, W, b] floating, a row of pixels contiguous
  Ref weight, bias;  ///< [C] any floating dtype
  Ref scale, shift;  ///< [B, C/b, t, h, w, b] dtype of x, a row of pixels contiguous, or both empty; h divides H, w divides W
  Ref y;             ///< as x, other strides allowed, a row of pixels contiguous, written
  std::int64_t groups;
  double eps;
  Activation activation;  ///< none or silu
  std::int64_t first;  ///< 0, or 1: frame 0 stands alone
  double flops() const { return 7.0 * static_cast<double>(x.shape.numel()); }
};
KINEMA_KERNEL void run(CpuContext&, const GroupNorm&);

}  // namespace kinema::inline KINEMA_ABI::kernel
