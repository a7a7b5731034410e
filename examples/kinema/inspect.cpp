// examples/kinema/inspect.cpp - kinema inspect: what a model folder or a safetensors file holds.
#include "command_line.hpp"
#include "progress.hpp"
#include "session.hpp"

#include <kinema/io/safetensors.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options { Text path; };

/// A type that tensors can have by our name, another one as the file spells it.
std::string type_name(const io::SafetensorsType& type) { return type.read ? to_string(*type.read) : std::string(type.name); }

/// Tensors, parameters, bytes and dtypes of files, as one line.
template <class Files>
std::string summary(const Files& files) {
  std::map<std::string, std::int64_t> by_type;
  std::int64_t tensors = 0, parameters = 0;
  double bytes = 0;
  for (const io::Safetensors& file : files) {
    for (const io::SafetensorsEntry& e : file.header().entries) {
      ++tensors;
      parameters += e.shape.numel();
      bytes += static_cast<double>(e.end - e.begin);
      ++by_type[type_name(*e.type)];
    }
  }
  std::string types;
  for (const auto& [type, count] : by_type) types += cat(types.empty() ? "" : ", ", type, by_type.size() > 1 ? cat(" x ", count) : "");
  return cat(tensors, " tensors, ", parameters, " parameters, ", bytes_text(bytes), types.empty() ? "" : ", ", types);
}

void inspect_file(const std::string& path) {
  const io::Safetensors file = io::Safetensors(path);
  std::string out = cat(printable(path, 1024), ": ", summary(std::initializer_list<io::Safetensors>{file}), "\n");
  for (const auto& [key, value] : file.metadata()) out += cat("  ", printable(key), ": ", printable(value), "\n");
  for (const io::SafetensorsEntry& e : file.header().entries) out += cat("  ", printable(e.name), "  ", type_name(*e.type), e.shape, "\n");
  std::fputs(out.c_str(), stdout);
}

void inspect_folder(const std::string& path) {
  const auto folder = cogvideox::ModelFolder::open(path);
  for (const std::string& remark : folder.remarks()) warn(remark);
  const cogvideox::PipelineConfig& c = folder.config();
  const cogvideox::TransformerConfig& t = c.transformer;
  const char* positions = t.use_learned_positional_embeddings ? "rotary and learned" : t.use_rotary_positional_embeddings ? "rotary" : "sin-cos";
  std::string out = cat(printable(path, 1024), ": ", c.image_to_video ? "image-to-video" : "text-to-video", "\n");
  out += cat("  transformer   ", summary(folder.transformer_weights().shards()), "\n");
  out += cat("                ", t.num_layers, " layers, ", t.num_attention_heads, " heads of ", t.attention_head_dim, ", ", positions, " positions, patch ",
             t.patch_size_t ? cat(*t.patch_size_t, "x") : "", t.patch_size, "x", t.patch_size, "\n");
  out += cat("  vae           ", summary(folder.vae_weights().shards()), "\n");
  out += cat("                ", c.vae.latent_channels, " latent channels, scaling factor ", c.vae.scaling_factor, "\n");
  out += cat("  text_encoder  ", summary(folder.text_weights().shards()), "\n");
  out += cat("                ", c.text.num_layers, " layers, width ", c.text.d_model, ", ", t.max_text_seq_length, " tokens\n");
  out += cat("  scheduler     ", name_of(c.sampler), ", ", c.scheduler.prediction_type, ", ", c.scheduler.timestep_spacing, " spacing, SNR shift ", c.scheduler.snr_shift_scale, "\n");
  out += cat("  default size  ", t.sample_frames, " frames of ", c.default_height(), "x", c.default_width(), " (height x width) at ", c.frames_per_second(), " frames per second\n");
  out += "  missing       nothing\n";
  std::fputs(out.c_str(), stdout);
}

void inspect(const Options& o) {
  const std::string path = required(o.path, "PATH");
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) inspect_folder(path);
  else inspect_file(path);
}

}  // namespace

void add_inspect(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("inspect", "what a model folder or a safetensors file holds", [o] { inspect(*o); });
  option(c, "path", o->path, "model folder or .safetensors file");
}

}  // namespace program
