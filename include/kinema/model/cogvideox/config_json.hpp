// kinema/model/cogvideox/config_json.hpp - config.json files as structs, and structs as the files of the published layout.
//
// Absent fields take the reference's class defaults, unknown ones are accepted, types are exact, and every error names
// the file and the field.
#pragma once

#include <kinema/diffusion/sampler.hpp>
#include <kinema/io/json.hpp>
#include <kinema/model/cogvideox/config.hpp>
#include <kinema/model/cogvideox/vae_config.hpp>

#include <algorithm>
#include <initializer_list>

namespace kinema::inline KINEMA_ABI::cogvideox {

namespace detail {

/// Runs a validation of values and puts the file's name in front of what it says.
template <class F>
void in_file(const io::Json& json, const F& check) {
  try {
    check();
  } catch (const ConfigError& e) {
    throw ConfigError(cat(json.file(), ": ", e.what()));
  }
}

/// `_class_name` must be one of `allowed`; with `may_be_absent` a missing field passes. Returns the name or "".
inline std::string class_name(const io::Json& json, std::initializer_list<std::string_view> allowed, bool may_be_absent = false) {
  if (may_be_absent && !json.has("_class_name")) return {};
  const std::string name = json.string("_class_name");
  if (std::find(allowed.begin(), allowed.end(), name) != allowed.end()) return name;
  std::string list;
  for (std::string_view a : allowed) list += cat(list.empty() ? "" : " or ", a);
  throw ConfigError(cat(json.file(), ": _class_name: must be ", list, ", got \"", printable(name), "\""));
}

}  // namespace detail

/// transformer/config.json. `anonymous` is set if the file does not say its class.
inline TransformerConfig read_transformer_config(const io::Json& j, bool* anonymous = nullptr) {
  j.expect(io::JsonKind::object);
  const std::string name = detail::class_name(j, {"CogVideoXTransformer3DModel"}, true);
  if (anonymous) *anonymous = name.empty();
  TransformerConfig c;
  c.num_attention_heads = j.integer("num_attention_heads", c.num_attention_heads);
  c.attention_head_dim = j.integer("attention_head_dim", c.attention_head_dim);
  c.num_layers = j.integer("num_layers", c.num_layers);
  c.in_channels = j.integer("in_channels", c.in_channels);
  c.out_channels = j.optional_integer("out_channels").value_or(c.out_channels);
  c.patch_size = j.integer("patch_size", c.patch_size);
  c.patch_size_t = j.optional_integer("patch_size_t");
  c.patch_bias = j.boolean("patch_bias", c.patch_bias);
  c.sample_height = j.integer("sample_height", c.sample_height);
  c.sample_width = j.integer("sample_width", c.sample_width);
  c.sample_frames = j.integer("sample_frames", c.sample_frames);
  c.temporal_compression_ratio = j.integer("temporal_compression_ratio", c.temporal_compression_ratio);
  c.max_text_seq_length = j.integer("max_text_seq_length", c.max_text_seq_length);
  c.text_embed_dim = j.integer("text_embed_dim", c.text_embed_dim);
  c.time_embed_dim = j.integer("time_embed_dim", c.time_embed_dim);
  c.ofs_embed_dim = j.optional_integer("ofs_embed_dim");
  c.flip_sin_to_cos = j.boolean("flip_sin_to_cos", c.flip_sin_to_cos);
  c.freq_shift = j.number("freq_shift", c.freq_shift);
  c.timestep_activation_fn = j.string("timestep_activation_fn", c.timestep_activation_fn);
  c.activation_fn = j.string("activation_fn", c.activation_fn);
  c.attention_bias = j.boolean("attention_bias", c.attention_bias);
  c.norm_elementwise_affine = j.boolean("norm_elementwise_affine", c.norm_elementwise_affine);
  c.norm_eps = j.number("norm_eps", c.norm_eps);
  c.spatial_interpolation_scale = j.number("spatial_interpolation_scale", c.spatial_interpolation_scale);
  c.temporal_interpolation_scale = j.number("temporal_interpolation_scale", c.temporal_interpolation_scale);
  c.use_rotary_positional_embeddings = j.boolean("use_rotary_positional_embeddings", c.use_rotary_positional_embeddings);
  c.use_learned_positional_embeddings = j.boolean("use_learned_positional_embeddings", c.use_learned_positional_embeddings);
  const double dropout = j.number("dropout", 0.0);  // inference never drops; the value must still make sense
  detail::in_file(j, [&] {
    validate(c);
    if (!(dropout >= 0 && dropout <= 1)) throw ConfigError(cat("dropout: must be 0 to 1, got ", dropout));
  });
  return c;
}

/// scheduler/scheduler_config.json; the class chooses the update rule.
struct SchedulerFile {
  diffusion::SchedulerConfig config;
  diffusion::SamplerKind sampler;
};
inline SchedulerFile read_scheduler_config(const io::Json& j) {  ///< throws ConfigError, naming file and field
  j.expect(io::JsonKind::object);
  const std::string name = detail::class_name(j, {"CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"});
  diffusion::SchedulerConfig c;
  c.num_train_timesteps = j.integer("num_train_timesteps", c.num_train_timesteps);
  c.beta_start = j.number("beta_start", c.beta_start);
  c.beta_end = j.number("beta_end", c.beta_end);
  c.beta_schedule = j.string("beta_schedule", c.beta_schedule);
  c.trained_betas = j.optional_numbers("trained_betas");
  c.prediction_type = j.string("prediction_type", c.prediction_type);
  c.timestep_spacing = j.string("timestep_spacing", c.timestep_spacing);
  c.rescale_betas_zero_snr = j.boolean("rescale_betas_zero_snr", c.rescale_betas_zero_snr);
  c.set_alpha_to_one = j.boolean("set_alpha_to_one", c.set_alpha_to_one);
  c.steps_offset = j.integer("steps_offset", c.steps_offset);
  c.snr_shift_scale = j.number("snr_shift_scale", c.snr_shift_scale);
  // The reference accepts these and never acts on them in its CogVideoX schedulers.
  j.boolean("clip_sample", true);
  j.number("clip_sample_range", 1.0);
  j.number("sample_max_value", 1.0);
  detail::in_file(j, [&] { validate(c); });
  return {c, name == "CogVideoXDPMScheduler" ? diffusion::SamplerKind::dpm : diffusion::SamplerKind::ddim};
}

namespace detail {
/// The reference builds one block per entry, whatever else the file says; absent are its default's four.
inline void block_types(const io::Json& j, const char* name, const std::string& known, std::int64_t levels) {
  const auto types = j.strings(name, std::vector<std::string>(4, known));
  if (static_cast<std::int64_t>(types.size()) != levels) throw ConfigError(cat(name, ": must have one entry per level (", levels, "), got ", types.size()));
  for (const std::string& t : types)
    if (t != known) throw ConfigError(cat(name, ": must be ", known, ", got ", printable(t)));
}
}  // namespace detail

/// vae/config.json.
inline VaeConfig read_vae_config(const io::Json& j) {
  j.expect(io::JsonKind::object);
  detail::class_name(j, {"AutoencoderKLCogVideoX"});
  VaeConfig c;
  c.in_channels = j.integer("in_channels", c.in_channels);
  c.out_channels = j.integer("out_channels", c.out_channels);
  c.latent_channels = j.integer("latent_channels", c.latent_channels);
  c.block_out_channels = j.integers("block_out_channels", c.block_out_channels);
  c.layers_per_block = j.integer("layers_per_block", c.layers_per_block);
  c.norm_eps = j.number("norm_eps", c.norm_eps);
  c.norm_num_groups = j.integer("norm_num_groups", c.norm_num_groups);
  c.temporal_compression_ratio = j.number("temporal_compression_ratio", c.temporal_compression_ratio);
  c.sample_height = j.integer("sample_height", c.sample_height);
  c.sample_width = j.integer("sample_width", c.sample_width);
  c.scaling_factor = j.number("scaling_factor", c.scaling_factor);
  c.invert_scale_latents = j.boolean("invert_scale_latents", c.invert_scale_latents);
  c.act_fn = j.string("act_fn", c.act_fn);
  c.use_quant_conv = j.boolean("use_quant_conv", c.use_quant_conv);
  c.use_post_quant_conv = j.boolean("use_post_quant_conv", c.use_post_quant_conv);
  // The reference stores these and no CogVideoX pipeline reads them.
  j.optional_number("shift_factor");
  j.optional_numbers("latents_mean");
  j.optional_numbers("latents_std");
  detail::in_file(j, [&] {
    validate(c);
    detail::block_types(j, "down_block_types", vae_down_block, c.levels());
    detail::block_types(j, "up_block_types", vae_up_block, c.levels());
  });
  return c;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
