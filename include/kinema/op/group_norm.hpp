// kinema/op/group_norm.hpp - group normalisation of blocked activations, with conditioning maps and an activation fused.
#pragma once

#include <kinema/kernel/group_norm.hpp>
#include <kinema/op/resample.hpp>  // first_frames

#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/group_norm.hpp>
#endif

namespace kinema::inline KINEMA_ABI::op {
/// What group_norm() may be given beside input and weights.
struct GroupNormOptions {
  std::int64_t groups = 32;
  double eps = 1e-6;
  kernel::Activation activation = kernel::Activation::none;  ///< none or silu
  Tensor<> scale = {}, shift = {};  ///< blocked maps of t frames of h x w, read at the nearest position; both or neither
};

/// Writes the group norm of a blocked activation x [B, C/b, T, H, W, b] to y of the same shape, which may be the inside
/// of a ConvInput: act((x - mean) / sqrt(var + eps) * weight + bias), with maps act(norm * scale + shift).
/// Statistics over channels of a group, frames and pixels in f32 runs and f64 sums; weight, bias [C] of any floating dtype.
/// For odd T > 1 the maps' frame 0 belongs to frame 0 alone. Throws ShapeError unless the maps divide x evenly.
/// Source: Wu and He 2018; diffusers CogVideoXSpatialNorm3D.
inline void group_norm_into(const Tensor<>& y, const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, const GroupNormOptions& o = {}) {
  const Expect expect{"group_norm"};
  expect("x", x).rank(6).floating();
  const Shape& s = x.shape();
  const std::int64_t channels = s[1] * s[5], first = first_frames(s[2]);
  expect("y", y).like(x);
  expect("y", y).shape(s);
  for (const Tensor<>* w : {&weight, &bias}) {
    expect(w == &weight ? "weight" : "bias", *w).floating().on(x.device());
    expect(w == &weight ? "weight" : "bias", *w).shape({channels});
  }
  expect.that(o.groups > 0 && channels % o.groups == 0, "groups must divide the channels, got ", o.groups, " and ", channels);
  expect.that(o.activation == kernel::Activation::none || o.activation == kernel::Activation::silu, "activation must be none or silu");
  expect.that(static_cast<bool>(o.scale) == static_cast<bool>(o.shift), "scale and shift must be given together");
  for (const Tensor<>* t : {&x, &y})
    if (t->strides()[5] != 1 || t->strides()[4] != s[5]) throw ShapeError(cat("group_norm: the pixels of a row must be contiguous, got strides ", t->strides()));
  if (o.scale) {
    expect("scale", o.scale).like(x).rank(6);
    const std::int64_t t = o.scale.size(2), h = o.scale.size(3), w = o.scale.size(4);
    expect("scale", o.scale).contiguous();
    expect("scale", o.scale).shape({s[0], s[1], t, h, w, s[5]});
    expect("shift", o.shift).like(x).contiguous();
    expect("shift", o.shift).shape(o.scale.shape());
    const bool frames = t > first ? (s[2] - first) % (t - first) == 0 : s[2] == t;
    if (h < 1 || w < 1 || s[3] % h != 0 || s[4] % w != 0 || !frames)
      throw ShapeError(cat("group_norm: maps of ", t, "x", h, "x", w, " do not divide x evenly, got ", to_string(x)));
  }
  launch(kernel::GroupNorm{.x = x, .weight = weight, .bias = bias, .scale = o.scale, .shift = o.shift, .y = y, .groups = o.groups,
                           .eps = o.eps, .activation = o.activation, .first = first}, x.device());
}
/// group_norm_into a new tensor of the dtype of x.
inline Tensor<> group_norm(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, const GroupNormOptions& o = {}) {
  Expect{"group_norm"}("x", x);
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  group_norm_into(y, x, weight, bias, o);
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
