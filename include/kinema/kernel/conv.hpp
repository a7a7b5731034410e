// kinema/kernel/conv.hpp - contracts of the convolutions over blocked activations.
//
// A blocked activation is [B, C/b, T, H, W, b]: b channels of one pixel lie together, so that a register holds channels
// and every tap of a convolution reads along rows. Padding is part of the input buffer: whoever produces the values
// writes them into the inside of a buffer with a frame of zeros and with room for the frames that a causal convolution
// looks back at. So no convolution copies its input, and no kernel knows about edges.
#pragma once

#include <kinema/kernel/launch.hpp>

namespace kinema::inline KINEMA_ABI::kernel {

/// Channels that lie together in a blocked activation of so many channels: what this backend's convolutions like best.
KINEMA_KERNEL std::int64_t channel_block(CpuContext&, std::int64_t channels);

/// Convolution without padding: y[o, t, i, j] = bias[o] + residual[o, t, i, j]
///   + sum over c, a, d, e of weight[o, c, a, d, e] x[c, t + a, stride i + d, stride j + e].
struct Conv {
  static constexpr std::string_view name = "conv";
  Ref x;         ///< [B, Ci/bi, T + kt - 1, Hx, Wx, bi] floating, a row of pixels contiguous, other strides free
  Ref weight;    ///< [Co, Ci, kt, kh, kw] or [Co, Ci, kh, kw], any floating dtype
  Ref bias;      ///< [Co] any floating dtype, or empty
  Ref residual;  ///< as y (dtype too), or empty
  Ref y;         ///< [B, Co/bo, T, H, W, bo] dtype of x, written, last axis contiguous; H = (Hx - kh) / stride + 1
  int stride;    ///< in space, 1 or more
  double flops() const {
    return 2.0 * static_cast<double>(y.size(0) * y.size(2) * y.size(3) * y.size(4)) * static_cast<double>(weight.shape.numel());
  }
};
KINEMA_KERNEL void run(CpuContext&, const Conv&);

/// Nearest upsampling by 2 in space, then a 3x3 convolution per frame with zero padding 1, without the upsampled tensor:
/// each of the four output phases is a 2x2 convolution of x with sums of the taps that fall on the same pixel.
struct UpsampleConv {
  static constexpr std::string_view name = "upsample_conv";
  Ref x;       ///< [B, Ci/bi, T, H + 2, W + 2, bi] floating: a frame of zeros around H x W, a row of pixels contiguous
  Ref weight;  ///< [Co, Ci, 3, 3], any floating dtype
  Ref bias;    ///< [Co] any floating dtype, or empty
  Ref y;       ///< [B, Co/bo, T, 2H, 2W, bo] dtype of x, written, last axis contiguous
  /// Of the 2x2 convolutions, not of the 3x3 one that they stand for.
  double flops() const { return 8.0 * static_cast<double>(y.size(0) * y.size(2) * y.size(3) * y.size(4)) * static_cast<double>(weight.size(0) * weight.size(1)); }
};
KINEMA_KERNEL void run(CpuContext&, const UpsampleConv&);

/// Zeros in the outermost rows and columns of every frame; the inside is not touched.
struct ClearBorder {
  static constexpr std::string_view name = "clear_border";
  Ref y;  ///< [B, C/b, T, H, W, b], last axis contiguous
  std::int64_t top, left, bottom, right;
};
KINEMA_KERNEL void run(CpuContext&, const ClearBorder&);

}  // namespace kinema::inline KINEMA_ABI::kernel
