// kinema/op/resample.hpp - blocked activations: into and out of the layout, frames repeated or averaged, tiles blended.
//
// A blocked activation has shape [B, C/b, T, H, W, b]: b channels of one pixel lie together. b is the backend's choice.
#pragma once

#include <kinema/kernel/conv.hpp>  // channel_block
#include <kinema/kernel/resample.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/expect.hpp>
#include <kinema/tensor/slice.hpp>

#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/conv.hpp>
#include <kinema/kernel/cpu/resample.hpp>
#endif

namespace kinema::inline KINEMA_ABI::op {

/// Channels per block of an activation with so many channels: a register's worth where it divides them, else all.
inline std::int64_t channel_block(std::int64_t channels, Device device = Device::cpu()) {
  if (!device.is_cpu()) return std::max<std::int64_t>(1, channels);  // channels last
  return kernel::channel_block(cpu_context(), channels);
}

/// Shape of a blocked activation.
inline Shape blocked_shape(std::int64_t B, std::int64_t C, std::int64_t T, std::int64_t H, std::int64_t W, Device device = Device::cpu()) {
  const std::int64_t b = channel_block(C, device);
  return {B, C / b, T, H, W, b};
}

/// Writes x [B, C, T, H, W] into a blocked activation of the same sizes (a window perhaps), rounding to its dtype.
inline void to_blocked_into(const Tensor<>& y, const Tensor<>& x) {
  const Expect expect{"to_blocked"};
  expect("x", x).rank(5).floating();
  expect("y", y).rank(6).floating().on(x.device());
  const Shape& s = y.shape();
  expect("x", x).shape({s[0], s[1] * s[5], s[2], s[3], s[4]});
  launch(kernel::ToBlocked{.x = x, .y = y}, x.device());
}

/// x [B, C, T, H, W], any strides, as a new blocked activation of x's dtype.
inline Tensor<> to_blocked(const Tensor<>& x) {
  Expect{"to_blocked"}("x", x).rank(5).floating();
  Tensor<> y = empty(blocked_shape(x.size(0), x.size(1), x.size(2), x.size(3), x.size(4), x.device()), x.dtype(), x.device());
  to_blocked_into(y, x);
  return y;
}

/// Writes a blocked activation into y [B, C, T, H, W], any strides, rounding to its dtype.
inline void from_blocked_into(const Tensor<>& y, const Tensor<>& x) {
  const Expect expect{"from_blocked"};
  expect("x", x).rank(6).floating();
  expect("y", y).rank(5).floating().on(x.device());
  const Shape& s = x.shape();
  expect("y", y).shape({s[0], s[1] * s[5], s[2], s[3], s[4]});
  launch(kernel::FromBlocked{.x = x, .y = y}, x.device());
}

/// A blocked activation as [B, C, T, H, W].
inline Tensor<> from_blocked(const Tensor<>& x) {
  Expect{"from_blocked"}("x", x).rank(6).floating();
  const Shape& s = x.shape();
  Tensor<> y = empty({s[0], s[1] * s[5], s[2], s[3], s[4]}, x.dtype(), x.device());
  from_blocked_into(y, x);
  return y;
}

/// Writes frames of a blocked activation into another: y's frame t is x's frame t for t < first, then every frame of x
/// `repeat` times. With repeat = 1 a copy; with one frame in x and repeat = T a replication.
inline void repeat_frames_into(const Tensor<>& y, const Tensor<>& x, std::int64_t first, std::int64_t repeat) {
  const Expect expect{"repeat_frames"};
  expect("x", x).rank(6);
  expect("y", y).rank(6).like(x);
  expect.that(first >= 0 && repeat >= 1, "needs first >= 0 and repeat >= 1, got ", first, " and ", repeat);
  const std::int64_t T = y.size(2), last = T <= first ? T : first + (T - first + repeat - 1) / repeat;
  if (x.size(2) < last) throw ShapeError(cat("repeat_frames: ", T, " frames need ", last, " source frames, got ", to_string(x)));
  expect("y", y).shape(x.shape().with(2, T));
  launch(kernel::RepeatFrames{.x = x, .y = y, .first = first, .repeat = repeat}, x.device());
}

/// Averages pairs of frames into y; an odd number of frames keeps frame 0 as it is. y has (T + 1) / 2 frames.
/// Source: diffusers CogVideoXDownsample3D (compress_time).
inline void average_pairs_into(const Tensor<>& y, const Tensor<>& x) {
  const Expect expect{"average_pairs"};
  expect("x", x).rank(6).floating();
  expect("y", y).like(x);
  expect("y", y).shape(x.shape().with(2, (x.size(2) + 1) / 2));
  launch(kernel::AveragePairs{.x = x, .y = y, .first = x.size(2) % 2}, x.device());
}
inline Tensor<> average_pairs(const Tensor<>& x) {  ///< into a new tensor
  Expect{"average_pairs"}("x", x).rank(6).floating();
  Tensor<> y = empty(x.shape().with(2, (x.size(2) + 1) / 2), x.dtype(), x.device());
  average_pairs_into(y, x);
  return y;
}

/// Frames of a map of t frames that T frames read: throws ShapeError unless the factor is whole. With T odd and above 1
/// frame 0 stands alone (the first chunk of a video), which is what `first` says.
inline std::int64_t first_frames(std::int64_t T) { return T > 1 && T % 2 == 1 ? 1 : 0; }

/// Nearest upsampling of a blocked activation to T frames of H x W by whole factors; for odd T > 1, frame 0 stands alone.
/// Source: diffusers CogVideoXUpsample3D, CogVideoXSpatialNorm3D.
inline Tensor<> upsample_nearest(const Tensor<>& x, std::int64_t T, std::int64_t H, std::int64_t W) {
  const Expect expect{"upsample_nearest"};
  expect("x", x).rank(6);
  const std::int64_t t = x.size(2), first = first_frames(T);
  const bool whole = t > first - (T == 0) && x.size(3) > 0 && x.size(4) > 0 && H % x.size(3) == 0 && W % x.size(4) == 0 &&
                     (t == first ? T == first : (T - first) % (t - first) == 0);
  if (!whole) throw ShapeError(cat("upsample_nearest: ", T, "x", H, "x", W, " is not a whole multiple of ", to_string(x)));
  Tensor<> y = empty({x.size(0), x.size(1), T, H, W, x.size(5)}, x.dtype(), x.device());
  launch(kernel::UpsampleNearest{.x = x, .y = y, .first = first}, x.device());
  return y;
}

/// Fades tile b [B, C, T, H, W] in from its neighbour a over `extent` rows (axis 3) or columns (axis 4), in place.
/// Source: diffusers AutoencoderKLCogVideoX.blend_v, blend_h.
inline void blend_tiles_(const Tensor<>& a, const Tensor<>& b, int axis, std::int64_t extent) {
  const Expect expect{"blend_tiles"};
  expect("b", b).rank(5).floating();
  expect("a", a).rank(5).like(b);
  expect.that(axis == 3 || axis == 4, "axis must be 3 or 4, got ", axis);
  for (int i = 0; i < 5; ++i)
    if (i != axis && a.size(i) < b.size(i)) throw ShapeError(cat("blend_tiles: a must be as large as b, got ", to_string(a), " and ", to_string(b)));
  const std::int64_t n = std::min({a.size(axis), b.size(axis), extent});
  launch(kernel::BlendTiles{.a = a, .b = b, .axis = axis, .n = n}, b.device());
}

/// A sample of the diagonal Gaussian with moments [B, 2L, T, H, W] (means, then log variances, clamped to [-30, 20])
/// for standard normal noise [B, L, T, H, W] of the same dtype.
/// Source: diffusers DiagonalGaussianDistribution.
inline Tensor<> sample_gaussian(const Tensor<>& moments, const Tensor<>& noise) {
  const Expect expect{"sample_gaussian"};
  expect("moments", moments).rank(5).floating();
  expect("noise", noise).like(moments);
  expect("noise", noise).shape(moments.shape().with(1, moments.size(1) / 2));
  expect.that(moments.size(1) % 2 == 0, "moments need an even number of channels, got ", moments.size(1));
  Tensor<> y = empty(noise.shape(), noise.dtype(), noise.device());
  launch(kernel::SampleGaussian{.moments = moments, .noise = noise, .y = y}, moments.device());
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
