// kinema/model/cogvideox/transformer.hpp - the expert transformer of CogVideoX, every released variant.
//
// Text and video tokens live in one sequence from the patch embedding to the last block, so that nothing is
// concatenated or split per layer; what differs between them (the "expert" modulation) is chosen by row.
#pragma once

#include <kinema/model/cogvideox/patch.hpp>
#include <kinema/model/cogvideox/rope.hpp>
#include <kinema/nn/embedding.hpp>
#include <kinema/nn/feed_forward.hpp>
#include <kinema/nn/norm.hpp>
#include <kinema/op/attention.hpp>
#include <kinema/op/rope.hpp>

#include <span>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Shift, scale and gate of both modalities from the conditioning vector. Keys: linear [6D, E], norm.
/// Source: diffusers CogVideoXLayerNormZero (video chunks first, then text).
struct ExpertLayerNorm {
  nn::Linear linear;
  nn::LayerNorm norm;

  struct Modulation { Tensor<> shift, scale, gate; };  ///< each [B, 2, D]; group 0 video, group 1 text

  explicit ExpertLayerNorm(const TransformerConfig& c)
      : linear(c.time_embed_dim, 6 * c.width()), norm(c.width(), c.norm_eps, c.norm_elementwise_affine) {}
  /// activated [B, E] is SiLU of the conditioning vector.
  Modulation modulation(const Tensor<>& activated) const {
    const Tensor<> m = linear(activated);                                                  // [B, 6D]
    const Tensor<> parts = reshape(m, {m.size(0), 2, 3, m.size(1) / 6});
    return {select(parts, 2, 0), select(parts, 2, 1), select(parts, 2, 2)};
  }
  void visit(nn::Visitor& v) {
    v("linear", linear);
    v("norm", norm);
  }
};

/// Full attention over text and video tokens. Keys: norm_q, norm_k, to_q, to_k, to_v, to_out.0.
struct JointAttention {
  static constexpr double qk_norm_eps = 1e-6;  ///< fixed in the reference; the config's norm_eps does not reach it
  nn::LayerNorm norm_q, norm_k;
  nn::Linear to_q, to_k, to_v, to_out;
  std::int64_t heads;

  explicit JointAttention(const TransformerConfig& c)
      : norm_q(c.attention_head_dim, qk_norm_eps), norm_k(c.attention_head_dim, qk_norm_eps),
        to_q(c.width(), c.width(), c.attention_bias), to_k(c.width(), c.width(), c.attention_bias),
        to_v(c.width(), c.width(), c.attention_bias), to_out(c.width(), c.width()), heads(c.num_attention_heads) {}

  /// z [B, S, D]; rotary tables act on rows from `text` on → [B, S, D].
  Tensor<> operator()(const Tensor<>& z, const RotaryTable& rotary, std::int64_t text) const {
    const Shape by_head{z.size(0), z.size(1), heads, z.size(2) / heads};                   // [B, S, heads, d]
    Tensor<> q = reshape(to_q(z), by_head), k = reshape(to_k(z), by_head);
    const Tensor<> v = reshape(to_v(z), by_head);
    op::qk_norm_rope_(q, norm_q.scale(), norm_q.offset(), norm_q.eps, rotary.cos, rotary.sin, text);
    op::qk_norm_rope_(k, norm_k.scale(), norm_k.offset(), norm_k.eps, rotary.cos, rotary.sin, text);
    return to_out(reshape(op::attention(q, k, v), z.shape()));
  }
  void visit(nn::Visitor& v) {
    v("norm_q", norm_q);
    v("norm_k", norm_k);
    v("to_q", to_q);
    v("to_k", to_k);
    v("to_v", to_v);
    v("to_out.0", to_out);
  }
};

/// Keys: norm1, attn1, norm2, ff.
struct Block {
  ExpertLayerNorm norm1;
  JointAttention attn1;
  ExpertLayerNorm norm2;
  nn::FeedForward ff;

  explicit Block(const TransformerConfig& c)
      : norm1(c), attn1(c), norm2(c), ff(feed_forward(c)) {}

  /// x [B, S, D] is overwritten with the block's output: the residual stream is the one buffer that a forward pass keeps.
  void operator()(Tensor<>& x, const Tensor<>& activated, const RotaryTable& rotary, const Tensor<>& runs, std::int64_t text) const {
    {
      const auto m = norm1.modulation(activated);
      const Tensor<> z = norm1.norm.modulated(x, m.shift, m.scale, runs);
      op::gate_residual_(x, attn1(z, rotary, text), m.gate, runs);
    }
    const auto m = norm2.modulation(activated);
    const Tensor<> z = norm2.norm.modulated(x, m.shift, m.scale, runs);
    op::gate_residual_(x, ff(z), m.gate, runs);
  }
  void visit(nn::Visitor& v) {
    v("norm1", norm1);
    v("attn1", attn1);
    v("norm2", norm2);
    v("ff", ff);
  }

 private:
  static nn::FeedForward feed_forward(const TransformerConfig& c) {
    const FeedForwardKind kind = feed_forward_kind(c.activation_fn);
    return kind.gated ? nn::FeedForward::gated(c.width(), 4 * c.width(), kind.activation)
                      : nn::FeedForward::plain(c.width(), 4 * c.width(), kind.activation);
  }
};

/// Final norm: shift and scale from the conditioning vector, in this order. Keys: linear [2D, E], norm.
struct OutputNorm {
  nn::Linear linear;
  nn::LayerNorm norm;
  explicit OutputNorm(const TransformerConfig& c)
      : linear(c.time_embed_dim, 2 * c.width()), norm(c.width(), c.norm_eps, c.norm_elementwise_affine) {}
  Tensor<> operator()(const Tensor<>& x, const Tensor<>& activated, const Tensor<>& runs) const {
    const Tensor<> m = linear(activated);                                                  // [B, 2D]
    const Tensor<> parts = reshape(m, {m.size(0), 2, m.size(1) / 2});
    return norm.modulated(x, narrow(parts, 1, 0, 1), narrow(parts, 1, 1, 1), runs);
  }
  void visit(nn::Visitor& v) {
    v("linear", linear);
    v("norm", norm);
  }
};

/// The expert transformer. Keys as in the published checkpoints: patch_embed, time_embedding, ofs_embedding (1.5
/// image-to-video), transformer_blocks.{i}, norm_final, norm_out, proj_out.
/// Source: diffusers CogVideoXTransformer3DModel; "CogVideoX", arXiv 2408.06072, §2.2.
struct Transformer {
  TransformerConfig config;
  PatchEmbed patch_embed;
  nn::TimestepEmbedding time_embedding;
  std::optional<nn::TimestepEmbedding> ofs_embedding;
  std::vector<Block> transformer_blocks;
  nn::LayerNorm norm_final;
  OutputNorm norm_out;
  nn::Linear proj_out;

  /// Throws ConfigError for a configuration that is out of range or contradicts itself.
  explicit Transformer(const TransformerConfig& c)
      : config((validate(c), c)), patch_embed(c),
        time_embedding(c.width(), c.time_embed_dim, timestep_activation(c.timestep_activation_fn)),
        norm_final(c.width(), c.norm_eps, c.norm_elementwise_affine), norm_out(c),
        proj_out(c.width(), c.out_channels * c.temporal_patch() * c.patch_size * c.patch_size) {
    if (c.ofs_embed_dim) ofs_embedding.emplace(*c.ofs_embed_dim, *c.ofs_embed_dim, timestep_activation(c.timestep_activation_fn));
    transformer_blocks.reserve(static_cast<std::size_t>(c.num_layers));
    for (std::int64_t i = 0; i < c.num_layers; ++i) transformer_blocks.emplace_back(c);
  }

  /// What depends on the clip's size only, computed once per video.
  struct Positions {
    RotaryTable rotary;
    Tensor<> additive;  ///< [text + tokens, D] or no value
  };
  /// Throws ShapeError if a learned table does not hold the size F×H×W (latents).
  Positions positions(std::int64_t f, std::int64_t h, std::int64_t w) const {
    Positions p{rotary_table(config, f, h, w), {}};
    if (config.use_learned_positional_embeddings) {
      // The reference silently drops the learned table when only the frame count differs; that is never what is wanted.
      if (h != config.sample_height || w != config.sample_width || f != config.sample_latent_frames())
        throw ShapeError(cat("transformer: the learned position table holds ", config.sample_latent_frames(), " frames of ", config.sample_height,
                             "x", config.sample_width, " latents, got ", f, " of ", h, "x", w));
      p.additive = select(patch_embed.pos_embedding->value(), 0, 0);
    } else if (!config.use_rotary_positional_embeddings) {
      p.additive = sincos_table(config, f, h, w);
    }
    return p;
  }

  /// Called after every block with its index and the joint sequence [B, S, D], text first.
  using OnOutput = function_ref<void(std::int64_t, const Tensor<>&)>;

  /// Velocity prediction.
  ///   latents [B, F, Cin, H, W]; text [B, L, text_embed_dim]; one time step per batch entry; ofs: 2.0 for the 1.5
  ///   image-to-video model, ignored by the others → [B, F, Cout, H, W] in the type of `latents`.
  /// Throws ShapeError if a size does not fit the configuration.
  Tensor<> operator()(const Tensor<>& latents, const Tensor<>& text, std::span<const std::int64_t> timesteps,
                      const Positions& positions, double ofs = 2.0, OnOutput on_output = ignore_output) const {
    const Expect expect{"transformer"};
    expect("latents", latents).rank(5).floating().size(2, config.in_channels);
    const std::int64_t batch = latents.size(0), words = text.size(1);
    expect("text", text).shape({batch, words, config.text_embed_dim}).like(latents);
    expect.that(static_cast<std::int64_t>(timesteps.size()) == batch, "needs ", batch, " time steps, got ", timesteps.size());
    const Grid grid = patch_grid(config, latents.size(1), latents.size(3), latents.size(4));
    const std::int64_t sequence = words + grid.tokens();
    if (positions.additive) expect("positions", positions.additive).shape({sequence, config.width()});
    if (positions.rotary.cos) expect("rotary table", positions.rotary.cos).shape({grid.tokens(), config.attention_head_dim});

    const Tensor<> e = op::silu(conditioning(timesteps, ofs, latents));                     // [B, E]
    const Tensor<> runs = tensor_of<std::int64_t>(std::vector<std::int64_t>{words, 1, sequence, 0}, {2, 2});
    Tensor<> x = patch_embed(text, latents, positions.additive);
    for (std::size_t i = 0; i < transformer_blocks.size(); ++i) {
      transformer_blocks[i](x, e, positions.rotary, runs, words);
      on_output(static_cast<std::int64_t>(i), x);
    }
    const Tensor<> video = norm_final(narrow(x, 1, words, grid.tokens()));
    const Tensor<> one_run = tensor_of<std::int64_t>(std::vector<std::int64_t>{grid.tokens(), 0}, {1, 2});
    const Tensor<> tokens = proj_out(norm_out(video, e, one_run));
    return op::unpatchify(tokens, config.out_channels, latents.size(1), latents.size(3), latents.size(4), config.temporal_patch(), config.patch_size);
  }

  /// Conditioning vector before the activation that every consumer applies: [B, E] in the type of `like`.
  Tensor<> conditioning(std::span<const std::int64_t> timesteps, double ofs, const Tensor<>& like) const {
    const Tensor<> t = tensor_of(timesteps, {static_cast<std::int64_t>(timesteps.size())});
    Tensor<> e = time_embedding(op::cast(op::timestep_embedding(t, config.width(), config.flip_sin_to_cos, config.freq_shift), like.dtype()));
    if (!ofs_embedding) return e;
    const Tensor<> o = op::timestep_embedding(full({1}, ofs, DType::f64), *config.ofs_embed_dim, config.flip_sin_to_cos, config.freq_shift);
    return op::add(e, (*ofs_embedding)(op::cast(o, like.dtype())));
  }

  void visit(nn::Visitor& v) {
    v("patch_embed", patch_embed);
    v("time_embedding", time_embedding);
    v("ofs_embedding", ofs_embedding);
    v("transformer_blocks", transformer_blocks);
    v("norm_final", norm_final);
    v("norm_out", norm_out);
    v("proj_out", proj_out);
  }

  static void ignore_output(std::int64_t, const Tensor<>&) {}
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
