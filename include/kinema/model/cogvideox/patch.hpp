// kinema/model/cogvideox/patch.hpp - from latents and text embeddings to the joint token sequence.
#pragma once

#include <kinema/model/cogvideox/config.hpp>
#include <kinema/nn/linear.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/tensor/slice.hpp>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Patch projection. 1.0 stores a 2-D convolution with stride = kernel, [D, C, p, p]; 1.5 a linear layer over
/// 2×p×p patches, [D, C·pt·p·p]. Both are the same product, features channel-slowest. Keys: weight, bias.
struct PatchProjection {
  nn::Parameter weight;
  std::optional<nn::Parameter> bias;
  std::int64_t features;

  explicit PatchProjection(const TransformerConfig& c)
      : weight(c.patch_size_t ? Shape{c.width(), c.in_channels * *c.patch_size_t * c.patch_size * c.patch_size}
                              : Shape{c.width(), c.in_channels, c.patch_size, c.patch_size}),
        features(c.in_channels * c.temporal_patch() * c.patch_size * c.patch_size) {
    if (c.patch_size_t || c.patch_bias) bias.emplace(Shape{c.width()});
  }
  /// patches [B, N, features] → [B, N, D]
  Tensor<> operator()(const Tensor<>& patches) const {
    const Tensor<> b = bias ? bias->value() : Tensor<>{};
    return weight.shape().rank() == 2 ? nn::linear(patches, weight, b) : op::linear(patches, reshape(weight.value(), {weight.shape()[0], features}), b);
  }
  void visit(nn::Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

/// Keys: proj, text_proj, pos_embedding [1, rows, D] (learned positions only).
struct PatchEmbed {
  PatchProjection proj;
  nn::Linear text_proj;
  std::optional<nn::Parameter> pos_embedding;
  std::int64_t patch, temporal_patch;

  explicit PatchEmbed(const TransformerConfig& c)
      : proj(c), text_proj(c.text_embed_dim, c.width()), patch(c.patch_size), temporal_patch(c.temporal_patch()) {
    if (c.use_learned_positional_embeddings) pos_embedding.emplace(Shape{1, c.learned_rows(), c.width()});
  }
  /// text [B, L, E], latents [B, F, C, H, W], positions [L + N, D] or no value → [B, L + N, D], text first.
  Tensor<> operator()(const Tensor<>& text, const Tensor<>& latents, const Tensor<>& positions) const {
    const Tensor<> video = proj(op::patchify(latents, temporal_patch, patch, patch));
    Tensor<> joint = op::concat({text_proj(text), video}, 1);
    return positions ? op::add(joint, op::cast(positions, joint.dtype())) : joint;
  }
  void visit(nn::Visitor& v) {
    v("proj", proj);
    v("text_proj", text_proj);
    v("pos_embedding", pos_embedding);
  }
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
