// kinema/model/cogvideox/config.hpp - what config.json says about the transformer, with the reference's class defaults.
#pragma once

#include <kinema/core/error.hpp>
#include <kinema/kernel/functor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Limits that no released model comes near; they keep every product of sizes inside 63 bits.
inline constexpr std::int64_t max_layers = 1024;
inline constexpr std::int64_t max_width = 1 << 20;        ///< as max_layers
inline constexpr std::int64_t max_text_tokens = 1 << 16;  ///< as max_layers

/// Fields of transformer/config.json, under the reference's names; absent fields keep the defaults below.
/// Source: diffusers CogVideoXTransformer3DModel.__init__.
struct TransformerConfig {
  std::int64_t num_attention_heads = 30, attention_head_dim = 64, num_layers = 30;
  std::int64_t in_channels = 16, out_channels = 16;
  std::int64_t patch_size = 2;
  std::optional<std::int64_t> patch_size_t;      ///< 2 in 1.5, absent in 1.0
  bool patch_bias = true;                        ///< reaches the 2-D patch projection only
  std::int64_t sample_height = 60, sample_width = 90;  ///< latent rows and columns
  std::int64_t sample_frames = 49;               ///< pixel frames
  std::int64_t temporal_compression_ratio = 4;
  std::int64_t max_text_seq_length = 226, text_embed_dim = 4096;
  std::int64_t time_embed_dim = 512;
  std::optional<std::int64_t> ofs_embed_dim;     ///< 1.5 image-to-video only
  bool flip_sin_to_cos = true;
  double freq_shift = 0;
  std::string timestep_activation_fn = "silu", activation_fn = "gelu-approximate";
  bool attention_bias = true;                    ///< of to_q, to_k, to_v; to_out.0 always has one
  bool norm_elementwise_affine = true;
  double norm_eps = 1e-5;
  double spatial_interpolation_scale = 1.875, temporal_interpolation_scale = 1.0;
  bool use_rotary_positional_embeddings = false, use_learned_positional_embeddings = false;

  std::int64_t width() const { return num_attention_heads * attention_head_dim; }
  std::int64_t temporal_patch() const { return patch_size_t.value_or(1); }
  /// Latent frames of the trained clip length.
  std::int64_t sample_latent_frames() const { return (sample_frames - 1) / temporal_compression_ratio + 1; }
  /// Rows of the learned position table: text tokens, then the patches of one trained clip.
  std::int64_t learned_rows() const {
    return max_text_seq_length + sample_latent_frames() * (sample_height / patch_size) * (sample_width / patch_size);
  }
};

/// The feed-forward layer behind a name. Source: diffusers FeedForward.
struct FeedForwardKind {
  kernel::Activation activation;
  bool gated;
};
inline FeedForwardKind feed_forward_kind(std::string_view name) {  ///< throws ConfigError for others
  using kernel::Activation;
  if (name == "gelu-approximate") return {Activation::gelu_tanh, false};
  if (name == "gelu") return {Activation::gelu, false};
  if (name == "linear-silu") return {Activation::silu, false};
  if (name == "geglu-approximate") return {Activation::gelu_sigmoid, false};
  if (name == "geglu") return {Activation::gelu, true};
  if (name == "swiglu") return {Activation::silu, true};
  throw ConfigError(cat("activation_fn: must be gelu-approximate, gelu, linear-silu, geglu, geglu-approximate or swiglu, got \"", printable(name), "\""));
}
/// By its name in config.json. Throws ConfigError for others.
inline kernel::Activation timestep_activation(std::string_view name) {
  if (name == "silu" || name == "swish") return kernel::Activation::silu;
  if (name == "gelu") return kernel::Activation::gelu;
  if (name == "mish") return kernel::Activation::mish;
  if (name == "relu") return kernel::Activation::relu;
  throw ConfigError(cat("timestep_activation_fn: must be silu, swish, gelu, mish or relu, got \"", printable(name), "\""));
}

/// Throws ConfigError, naming the field, its value and what is allowed, before anything is allocated.
inline void validate(const TransformerConfig& c) {
  const auto range = [](std::string_view name, std::int64_t v, std::int64_t low, std::int64_t high) {
    if (v < low || v > high) throw ConfigError(cat(name, ": must be ", low, " to ", high, ", got ", v));
  };
  range("num_attention_heads", c.num_attention_heads, 1, 4096);
  range("attention_head_dim", c.attention_head_dim, 1, 4096);
  range("num_layers", c.num_layers, 1, max_layers);
  range("in_channels", c.in_channels, 1, 65536);
  range("out_channels", c.out_channels, 1, 65536);
  range("patch_size", c.patch_size, 1, 64);
  if (c.patch_size_t) range("patch_size_t", *c.patch_size_t, 1, 64);
  range("sample_height", c.sample_height, 1, 65536);
  range("sample_width", c.sample_width, 1, 65536);
  range("sample_frames", c.sample_frames, 1, 1 << 20);
  range("temporal_compression_ratio", c.temporal_compression_ratio, 1, 64);
  range("max_text_seq_length", c.max_text_seq_length, 1, max_text_tokens);
  range("text_embed_dim", c.text_embed_dim, 1, max_width);
  range("time_embed_dim", c.time_embed_dim, 1, max_width);
  range("num_attention_heads * attention_head_dim", c.width(), 1, max_width);
  if (c.width() % 2 != 0) throw ConfigError(cat("num_attention_heads * attention_head_dim: must be even (time-step sinusoid), got ", c.width()));
  if (c.ofs_embed_dim && *c.ofs_embed_dim != c.time_embed_dim)
    throw ConfigError(cat("ofs_embed_dim: must equal time_embed_dim (", c.time_embed_dim, "), got ", *c.ofs_embed_dim));
  if (c.ofs_embed_dim && *c.ofs_embed_dim % 2 != 0) throw ConfigError(cat("ofs_embed_dim: must be even, got ", *c.ofs_embed_dim));
  if (c.use_rotary_positional_embeddings && c.attention_head_dim % 16 != 0)
    throw ConfigError(cat("attention_head_dim: must be a multiple of 16 with rotary embeddings, got ", c.attention_head_dim));
  if (!c.use_rotary_positional_embeddings && c.width() % 16 != 0)
    throw ConfigError(cat("num_attention_heads * attention_head_dim: must be a multiple of 16 with a sin-cos table, got ", c.width()));
  if (c.use_learned_positional_embeddings && !c.use_rotary_positional_embeddings)
    throw ConfigError("use_learned_positional_embeddings: needs use_rotary_positional_embeddings, got false");
  if (!c.use_rotary_positional_embeddings && c.patch_size_t)
    throw ConfigError(cat("patch_size_t: needs use_rotary_positional_embeddings (no table for temporal patches), got ", *c.patch_size_t));
  if (c.use_learned_positional_embeddings && (c.sample_height % c.patch_size != 0 || c.sample_width % c.patch_size != 0))
    throw ConfigError(cat("sample_height, sample_width: must be multiples of patch_size (", c.patch_size, ") with a learned table, got ", c.sample_height, " and ", c.sample_width));
  const auto positive = [](std::string_view name, double v) {
    if (!(v > 0 && v < 1e30)) throw ConfigError(cat(name, ": must be a positive number, got ", v));
  };
  positive("norm_eps", c.norm_eps);
  positive("spatial_interpolation_scale", c.spatial_interpolation_scale);
  positive("temporal_interpolation_scale", c.temporal_interpolation_scale);
  const double half = static_cast<double>(c.width()) / 2;
  if (!(c.freq_shift >= 0 && c.freq_shift < half)) throw ConfigError(cat("freq_shift: must be 0 to less than ", half, ", got ", c.freq_shift));
  feed_forward_kind(c.activation_fn);
  timestep_activation(c.timestep_activation_fn);
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
