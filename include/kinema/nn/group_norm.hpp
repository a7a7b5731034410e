// kinema/nn/group_norm.hpp - group normalisation layers over blocked activations.
#pragma once

#include <kinema/nn/conv.hpp>
#include <kinema/op/group_norm.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// Group norm with an optional activation. Keys: weight [C], bias [C].
struct GroupNorm {
  Parameter weight, bias;
  std::int64_t groups;
  double eps;

  GroupNorm(std::int64_t channels, std::int64_t group_count, double epsilon)
      : weight(Shape{channels}), bias(Shape{channels}), groups(group_count), eps(epsilon) {}
  /// Writes act(norm(x)) to y.
  void into(const Tensor<>& y, const Tensor<>& x, kernel::Activation act) const {
    op::group_norm_into(y, x, weight.value(), bias.value(), {.groups = groups, .eps = eps, .activation = act, .scale = {}, .shift = {}});
  }
  void visit(Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

/// Group norm whose result is scaled and shifted by maps of a latent video: norm(x) conv_y(z) + conv_b(z), z read at the
/// nearest position. The maps are computed at the latent's size, because a pointwise map commutes with nearest upsampling.
/// Keys: norm_layer.*, conv_y.conv.*, conv_b.conv.*. Source: diffusers CogVideoXSpatialNorm3D.
struct SpatialNorm {
  GroupNorm norm_layer;
  Conv<3> conv_y, conv_b;

  SpatialNorm(std::int64_t channels, std::int64_t latent_channels, std::int64_t groups, double epsilon)
      : norm_layer(channels, groups, epsilon), conv_y(latent_channels, channels, 1), conv_b(latent_channels, channels, 1) {}
  /// Writes act(norm(x) y(z) + b(z)) to y; x and z blocked.
  void into(const Tensor<>& y, const Tensor<>& x, const Tensor<>& z, kernel::Activation act) const {
    op::group_norm_into(y, x, norm_layer.weight.value(), norm_layer.bias.value(),
                        {.groups = norm_layer.groups, .eps = norm_layer.eps, .activation = act, .scale = conv_y(z), .shift = conv_b(z)});
  }
  void visit(Visitor& v) {
    v("norm_layer", norm_layer);
    v("conv_y.conv", conv_y);
    v("conv_b.conv", conv_b);
  }
};

/// A norm that needs the latent beside its input.
template <class Norm>
concept ConditionedNorm = requires(const Norm& n, const Tensor<>& t, kernel::Activation a) { n.into(t, t, t, a); };

}  // namespace kinema::inline KINEMA_ABI::nn
