// kinema/kernel/resample.hpp - contracts of the index maps around blocked activations: layouts, frames, tile blending.
#pragma once

#include <kinema/kernel/launch.hpp>

namespace kinema::inline KINEMA_ABI::kernel {

/// y[b, c / n, t, i, j, c % n] = x[b, c, t, i, j] with n = block of y, rounded once if the element types differ.
struct ToBlocked {
  static constexpr std::string_view name = "to_blocked";
  Ref x;  ///< [B, C, T, H, W] floating, any strides
  Ref y;  ///< [B, C/n, T, H, W, n] floating, any strides, written
};
KINEMA_KERNEL void run(CpuContext&, const ToBlocked&);

/// The reverse of ToBlocked.
struct FromBlocked {
  static constexpr std::string_view name = "from_blocked";
  Ref x;  ///< [B, C/n, T, H, W, n] floating, any strides
  Ref y;  ///< [B, C, T, H, W] floating, any strides, written
};
KINEMA_KERNEL void run(CpuContext&, const FromBlocked&);

/// Frames copied, some of them several times: y[:, :, t] = x[:, :, t < first ? t : first + (t - first) / repeat].
struct RepeatFrames {
  static constexpr std::string_view name = "repeat_frames";
  Ref x;  ///< [B, K, Tx, H, W, b], last axis contiguous
  Ref y;  ///< [B, K, Ty, H, W, b] dtype of x, last axis contiguous, written; every source frame exists
  std::int64_t first, repeat;
};
KINEMA_KERNEL void run(CpuContext&, const RepeatFrames&);

/// Pairs of frames averaged: y[:, :, t] = x[:, :, t] for t < first, else the mean of frames 2t - first and 2t - first + 1.
struct AveragePairs {
  static constexpr std::string_view name = "average_pairs";
  Ref x;  ///< [B, K, Tx, H, W, b] floating, last axis contiguous
  Ref y;  ///< [B, K, first + (Tx - first) / 2, H, W, b] dtype of x, last axis contiguous, written
  std::int64_t first;
};
KINEMA_KERNEL void run(CpuContext&, const AveragePairs&);

/// Nearest upsampling by whole factors: y[.., t, i, j] = x[.., t', i / (H/h), j / (W/w)], t' as in GroupNorm's maps.
struct UpsampleNearest {
  static constexpr std::string_view name = "upsample_nearest";
  Ref x;  ///< [B, K, t, h, w, b], last axis contiguous
  Ref y;  ///< [B, K, T, H, W, b] dtype of x, last axis contiguous, written; h divides H, w divides W
  std::int64_t first;  ///< 1: frame 0 stands alone and t - 1 divides T - 1; 0: t divides T
};
KINEMA_KERNEL void run(CpuContext&, const UpsampleNearest&);

/// Overlap of neighbouring tiles along one axis, in place:
///   b[.., k, ..] = a[.., size - n + k, ..] (1 - k/n) + b[.., k, ..] k/n for k < n, size = a's extent of the axis.
struct BlendTiles {
  static constexpr std::string_view name = "blend_tiles";
  Ref a;     ///< [B, C, T, H, W] floating: the tile above or to the left; the other axes at least as long as b's
  Ref b;     ///< [B, C, T, H, W] dtype of a, read and written
  int axis;  ///< 3 or 4
  std::int64_t n;  ///< at most the extents of a and b on the axis
};
KINEMA_KERNEL void run(CpuContext&, const BlendTiles&);

/// y = mean + exp(logvar / 2) noise, logvar clamped to [-30, 20]: a sample of a diagonal Gaussian.
struct SampleGaussian {
  static constexpr std::string_view name = "sample_gaussian";
  Ref moments;  ///< [B, 2L, T, H, W] floating, any strides: L means, then L log variances
  Ref noise;    ///< [B, L, T, H, W] any strides, dtype of moments
  Ref y;        ///< as noise, written
};
KINEMA_KERNEL void run(CpuContext&, const SampleGaussian&);

}  // namespace kinema::inline KINEMA_ABI::kernel
