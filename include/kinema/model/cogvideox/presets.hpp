// kinema/model/cogvideox/presets.hpp - the released configurations, and model folders with random weights in their layout.
//
// So that speed and memory of a model can be tried before it is downloaded: every file of the published folder, every
// tensor under its name and in its type, with numbers that keep activations in range.
#pragma once

#include <kinema/core/philox.hpp>
#include <kinema/io/checkpoint.hpp>
#include <kinema/model/cogvideox/model_folder.hpp>
#include <kinema/text/spiece_model.hpp>

#include <cmath>
#include <functional>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// A configuration and the type that its transformer and text encoder are published in.
struct Preset {
  std::string_view name;
  PipelineConfig config;
  DType dtype;
};
/// By its name: a released model or a tiny one. Throws ArgumentError with the list.
inline Preset preset(std::string_view name) {
  Preset p{name, {}, DType::bf16};
  TransformerConfig& t = p.config.transformer;
  diffusion::SchedulerConfig& s = p.config.scheduler;
  s.prediction_type = "v_prediction";
  s.timestep_spacing = "trailing";
  s.rescale_betas_zero_snr = true;
  s.snr_shift_scale = 1.0;
  p.config.vae.scaling_factor = 0.7;
  const auto large = [&] {
    t.num_attention_heads = 48;
    t.num_layers = 42;
    t.use_rotary_positional_embeddings = true;
  };
  const auto image = [&] {
    p.config.image_to_video = true;
    t.in_channels = 32;
  };
  const auto one_five = [&] {
    large();
    t.patch_size_t = 2;
    t.patch_bias = false;
    t.sample_height = 96;
    t.sample_width = 170;
    t.sample_frames = 81;
    p.config.vae.invert_scale_latents = true;
  };
  const auto tiny = [&] {
    t.num_attention_heads = 2;
    t.attention_head_dim = 32;
    t.num_layers = 2;
    t.time_embed_dim = 32;
    t.text_embed_dim = 32;
    t.max_text_seq_length = 32;
    t.sample_height = t.sample_width = 8;
    t.sample_frames = 9;
    t.use_rotary_positional_embeddings = true;
    VaeConfig& v = p.config.vae;
    v.block_out_channels = {8, 8, 16, 16};
    v.layers_per_block = 1;
    v.norm_num_groups = 4;
    v.sample_height = v.sample_width = 64;
    t5::Config& e = p.config.text;
    e.d_model = 32, e.d_kv = 8, e.num_heads = 4, e.d_ff = 64, e.num_layers = 2, e.vocab_size = 128;
  };
  if (name == "cogvideox-2b") {
    p.dtype = DType::f16;
    s.snr_shift_scale = 3.0;
    p.config.vae.scaling_factor = 1.15258426;
  } else if (name == "5b") {
    large();
  } else if (name == "5b-i2v") {
    large();
    image();
    t.use_learned_positional_embeddings = true;
  } else if (name == "1.5-5b") {
    one_five();
  } else if (name == "1.5-5b-i2v") {
    one_five();
    image();
    t.ofs_embed_dim = 512;
  } else if (name == "tiny") {
    tiny();
  } else if (name == "tiny-i2v") {
    tiny();
    image();
  } else {
    throw ArgumentError(cat("preset: must be one of cogvideox-2b, 5b, 5b-i2v, 1.5-5b, 1.5-5b-i2v, tiny, tiny-i2v, got \"", printable(name), "\""));
  }
  return p;
}

namespace detail {

inline std::uint64_t name_hash(std::string_view name) {
  std::uint64_t h = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

/// Vectors called weight are norm scales: 1. Other vectors are 0. Matrices and kernels are uniform with variance
/// 1/fan_in, embeddings of the text with variance 1, so that activations keep their size from layer to layer.
inline Tensor<> random_weight(const std::string& name, const Shape& shape, DType dtype, std::uint64_t seed) {
  if (shape.rank() == 1) return full(shape, name.ends_with("weight") ? 1.0 : 0.0, dtype);
  const std::int64_t n = shape.numel();
  const double fan_in = name == "shared.weight" ? 1.0 : static_cast<double>(n / std::max<std::int64_t>(shape[0], 1));
  const auto reach = static_cast<float>(std::sqrt(3.0 / std::max(fan_in, 1.0)));
  const std::uint64_t key = seed ^ name_hash(name);
  Tensor<> t = empty(shape, dtype);
  dispatch_floating(dtype, "random_weight", [&]<class T>(Type<T>) {
    T* out = t.data<T>();
    constexpr std::int64_t grain = 1 << 16;
    parallel_ranges(n, grain, cpu_context().threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; i += 4) {
        const PhiloxBlock b = philox(key, static_cast<std::uint64_t>(i / 4));
        for (std::int64_t k = 0; k < 4 && i + k < end; ++k)
          out[i + k] = T((static_cast<float>(b.word[k] >> 8) * 0x1p-23f - 1.0f) * reach);
      }
    });
  });
  return t;
}

/// Visits every weight once to declare it and once to write it; no two are in memory together.
template <nn::Module M>
void write_random(M& module, const std::filesystem::path& folder, std::string_view base, DType dtype, std::uint64_t seed,
                  const std::function<void(const std::string&)>& on_tensor) {
  constexpr std::uint64_t shard_bytes = 5'000'000'000;  // as the published conversion used
  std::vector<io::TensorDeclaration> tensors;
  nn::for_each_parameter(module, [&](const std::string& name, nn::Parameter& p) { tensors.push_back({name, dtype, p.shape()}); });
  io::CheckpointWriter writer(folder, base, tensors, shard_bytes, {{"format", "pt"}});
  nn::for_each_parameter(module, [&](const std::string& name, nn::Parameter& p) {
    if (on_tensor) on_tensor(name);
    writer.add(name, random_weight(name, p.shape(), dtype, seed));
  });
  writer.finish();
}

/// A vocabulary of single characters: enough to tokenise any ASCII prompt, far from T5's own.
inline text::SpieceModel character_vocabulary() {
  text::SpieceModel m;
  m.pieces = {{"<pad>", 0, text::PieceType::control}, {"</s>", 0, text::PieceType::control}, {"<unk>", 0, text::PieceType::unknown}, {"\u2581", -2.0f, text::PieceType::normal}};
  for (char c = '!'; c <= '~'; ++c) m.pieces.push_back({std::string(1, c), -4.0f - 0.01f * static_cast<float>(c - '!'), text::PieceType::normal});
  return m;
}

inline std::string transformer_json(const TransformerConfig& c) {
  io::JsonWriter j;
  j.begin_object().field("_class_name", "CogVideoXTransformer3DModel");
  j.field("num_attention_heads", c.num_attention_heads).field("attention_head_dim", c.attention_head_dim).field("num_layers", c.num_layers);
  j.field("in_channels", c.in_channels).field("out_channels", c.out_channels).field("patch_size", c.patch_size).field("patch_size_t", c.patch_size_t);
  j.field("patch_bias", c.patch_bias).field("sample_height", c.sample_height).field("sample_width", c.sample_width).field("sample_frames", c.sample_frames);
  j.field("temporal_compression_ratio", c.temporal_compression_ratio).field("max_text_seq_length", c.max_text_seq_length);
  j.field("text_embed_dim", c.text_embed_dim).field("time_embed_dim", c.time_embed_dim).field("ofs_embed_dim", c.ofs_embed_dim);
  j.field("flip_sin_to_cos", c.flip_sin_to_cos).field("freq_shift", static_cast<std::int64_t>(c.freq_shift));
  j.field("timestep_activation_fn", c.timestep_activation_fn).field("activation_fn", c.activation_fn).field("attention_bias", c.attention_bias);
  j.field("dropout", 0.0).field("norm_elementwise_affine", c.norm_elementwise_affine).field("norm_eps", c.norm_eps);
  j.field("spatial_interpolation_scale", c.spatial_interpolation_scale).field("temporal_interpolation_scale", c.temporal_interpolation_scale);
  j.field("use_rotary_positional_embeddings", c.use_rotary_positional_embeddings);
  j.field("use_learned_positional_embeddings", c.use_learned_positional_embeddings);
  return j.end().text() + "\n";
}

inline std::string vae_json(const VaeConfig& c) {
  io::JsonWriter j;
  j.begin_object().field("_class_name", "AutoencoderKLCogVideoX");
  j.field("in_channels", c.in_channels).field("out_channels", c.out_channels).field("latent_channels", c.latent_channels);
  j.field("block_out_channels", c.block_out_channels).field("layers_per_block", c.layers_per_block).field("act_fn", c.act_fn);
  j.field("norm_eps", c.norm_eps).field("norm_num_groups", c.norm_num_groups);
  j.field("temporal_compression_ratio", static_cast<std::int64_t>(c.temporal_compression_ratio));
  j.field("sample_height", c.sample_height).field("sample_width", c.sample_width).field("scaling_factor", c.scaling_factor);
  j.field("invert_scale_latents", c.invert_scale_latents).field("use_quant_conv", c.use_quant_conv).field("use_post_quant_conv", c.use_post_quant_conv);
  const auto per_level = [&](const char* type) { return std::vector<std::string>(c.block_out_channels.size(), type); };
  j.field("down_block_types", per_level(vae_down_block)).field("up_block_types", per_level(vae_up_block)).field("force_upcast", true);
  for (const char* name : {"shift_factor", "latents_mean", "latents_std"}) j.key(name).null();
  return j.end().text() + "\n";
}

inline std::string scheduler_json(const diffusion::SchedulerConfig& c, diffusion::SamplerKind sampler) {
  io::JsonWriter j;
  j.begin_object().field("_class_name", sampler == diffusion::SamplerKind::dpm ? "CogVideoXDPMScheduler" : "CogVideoXDDIMScheduler");
  j.field("num_train_timesteps", c.num_train_timesteps).field("beta_start", c.beta_start).field("beta_end", c.beta_end);
  j.field("beta_schedule", c.beta_schedule).field("trained_betas", c.trained_betas).field("prediction_type", c.prediction_type);
  j.field("timestep_spacing", c.timestep_spacing).field("rescale_betas_zero_snr", c.rescale_betas_zero_snr);
  j.field("set_alpha_to_one", c.set_alpha_to_one).field("steps_offset", c.steps_offset).field("snr_shift_scale", c.snr_shift_scale);
  j.field("clip_sample", false).field("clip_sample_range", 1.0).field("sample_max_value", 1.0);
  return j.end().text() + "\n";
}

inline std::string text_json(const t5::Config& c) {
  io::JsonWriter j;
  j.begin_object().field("architectures", std::vector<std::string>{"T5EncoderModel"}).field("model_type", "t5");
  j.field("d_model", c.d_model).field("d_kv", c.d_kv).field("d_ff", c.d_ff).field("num_heads", c.num_heads).field("num_layers", c.num_layers);
  j.field("vocab_size", c.vocab_size).field("relative_attention_num_buckets", c.relative_attention_num_buckets);
  j.field("relative_attention_max_distance", c.relative_attention_max_distance).field("layer_norm_epsilon", c.layer_norm_epsilon);
  j.field("feed_forward_proj", "gated-gelu").field("dense_act_fn", "gelu_new").field("is_gated_act", true).field("dropout_rate", 0.1);
  j.field("is_encoder_decoder", true).field("pad_token_id", 0).field("eos_token_id", 1).field("tie_word_embeddings", false);
  return j.end().text() + "\n";
}

inline std::string index_json(const PipelineConfig& c) {
  io::JsonWriter j;
  j.begin_object().field("_class_name", c.image_to_video ? "CogVideoXImageToVideoPipeline" : "CogVideoXPipeline");
  const auto component = [&](const char* name, const char* library, const char* cls) { j.field(name, std::vector<std::string>{library, cls}); };
  component("scheduler", "diffusers", c.sampler == diffusion::SamplerKind::dpm ? "CogVideoXDPMScheduler" : "CogVideoXDDIMScheduler");
  component("text_encoder", "transformers", "T5EncoderModel");
  component("tokenizer", "transformers", "T5Tokenizer");
  component("transformer", "diffusers", "CogVideoXTransformer3DModel");
  component("vae", "diffusers", "AutoencoderKLCogVideoX");
  return j.end().text() + "\n";
}

inline void write_random_files(const Preset& p, const std::filesystem::path& folder, std::uint64_t seed,
                               const std::function<void(const std::string&)>& on_tensor) {
  io::write_file(folder / "scheduler/scheduler_config.json", scheduler_json(p.config.scheduler, p.config.sampler));
  io::write_file(folder / "transformer/config.json", transformer_json(p.config.transformer));
  io::write_file(folder / "vae/config.json", vae_json(p.config.vae));
  io::write_file(folder / "text_encoder/config.json", text_json(p.config.text));
  io::write_file(folder / "tokenizer/spiece.model", character_vocabulary().serialized());
  Transformer transformer(p.config.transformer);
  Vae vae(p.config.vae);
  t5::Encoder text(p.config.text);
  write_random(vae, folder / "vae", "diffusion_pytorch_model", p.dtype, seed, on_tensor);
  write_random(transformer, folder / "transformer", "diffusion_pytorch_model", p.dtype, seed, on_tensor);
  write_random(text, folder / "text_encoder", "model", p.dtype, seed, on_tensor);
  io::write_file(folder / "model_index.json", index_json(p.config));
}

}  // namespace detail

/// Writes a whole model folder with random weights; `folder` must not exist or be empty. on_tensor hears every name.
/// model_index.json comes last, so a folder that was cut short is not taken for a model.
inline void write_random_model(const Preset& p, const std::filesystem::path& folder, std::uint64_t seed,
                               const std::function<void(const std::string&)>& on_tensor = {}) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::exists(folder, error) && !(fs::is_directory(folder, error) && fs::is_empty(folder, error)))
    throw IoError(cat(io::shown(folder), ": must not exist yet, or be an empty folder"));
  static constexpr const char* parts[] = {"scheduler", "text_encoder", "tokenizer", "transformer", "vae"};
  io::detail::FolderMaker made(folder);  // removes what it made if we do not get to the end
  try {
    for (const char* part : parts) {
      fs::create_directory(folder / part, error);
      if (error) throw IoError(cat(io::shown(folder / part), ": cannot be created: ", error.message()));
    }
    detail::write_random_files(p, folder, seed, on_tensor);
  } catch (...) {
    for (const char* part : parts) fs::remove_all(folder / part, error);
    throw;
  }
  made.keep();
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
