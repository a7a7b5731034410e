// kinema/model/cogvideox/model_folder.hpp - a published model folder, checked as a whole before a weight is read.
//
// model_index.json, every component that it names, every configuration, the headers of all weight files against the
// configurations, and the components against each other. What is wrong is said in one error; a 5B folder takes
// milliseconds, because only headers are read.
#pragma once

#include <kinema/io/checkpoint.hpp>
#include <kinema/model/cogvideox/config_json.hpp>
#include <kinema/model/cogvideox/geometry.hpp>
#include <kinema/model/cogvideox/transformer.hpp>
#include <kinema/model/cogvideox/vae.hpp>
#include <kinema/model/t5/encoder.hpp>
#include <kinema/model/t5/load.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// All configurations of one pipeline.
struct PipelineConfig {
  bool image_to_video = false;
  TransformerConfig transformer;
  VaeConfig vae;
  t5::Config text;
  diffusion::SchedulerConfig scheduler;
  diffusion::SamplerKind sampler = diffusion::SamplerKind::ddim;

  Factors factors() const {
    std::int64_t space = 1;
    for (std::size_t i = 1; i < vae.block_out_channels.size(); ++i) space *= 2;
    return {space, transformer.temporal_compression_ratio, transformer.patch_size, transformer.temporal_patch()};
  }
  std::int64_t default_height() const { return transformer.sample_height * factors().space; }
  std::int64_t default_width() const { return transformer.sample_width * factors().space; }
  /// Frames per second that the released models were trained for: 8 (1.0) or 16 (1.5).
  int frames_per_second() const { return transformer.patch_size_t ? 16 : 8; }
};

/// Throws ConfigError if the components do not fit together.
inline void validate(const PipelineConfig& c) {
  const auto equal = [](std::string_view a, std::int64_t x, std::string_view b, std::int64_t y) {
    if (x != y) throw ConfigError(cat(a, " (", x, ") must equal ", b, " (", y, ")"));
  };
  equal("transformer text_embed_dim", c.transformer.text_embed_dim, "text_encoder d_model", c.text.d_model);
  equal("transformer out_channels", c.transformer.out_channels, "vae latent_channels", c.vae.latent_channels);
  const std::int64_t latent = c.vae.latent_channels, in = c.transformer.in_channels;  // image-to-video sees noise and image side by side
  if (c.image_to_video && in != 2 * latent)
    throw ConfigError(cat("model_index.json names an image-to-video pipeline, which needs transformer in_channels of ", 2 * latent, ", got ", in,
                          in == latent ? "; these look like text-to-video weights" : ""));
  if (!c.image_to_video && in != latent)
    throw ConfigError(cat("model_index.json names a text-to-video pipeline, which needs transformer in_channels of ", latent, ", got ", in,
                          in == 2 * latent ? "; these look like image-to-video weights" : ""));
  if (static_cast<double>(c.transformer.temporal_compression_ratio) != c.vae.temporal_compression_ratio)
    throw ConfigError(cat("transformer temporal_compression_ratio (", c.transformer.temporal_compression_ratio,
                          ") must equal the vae's (", c.vae.temporal_compression_ratio, ")"));
}

/// The weights that are kept as 8-bit integers where that is asked for: linear layers in the blocks, by name. What is
/// outside of the blocks is small, and first and last layers would show every error.
inline bool quantizes(const std::string& name) { return name.starts_with("transformer_blocks.") || name.starts_with("encoder.block."); }

/// An opened folder: configurations and weight files, no weight read yet.
class ModelFolder {
 public:
  /// Throws IoError, ConfigError or CheckpointError.
  static ModelFolder open(const std::filesystem::path& folder) {
    ModelFolder m;
    m.read_configurations(folder);
    m.transformer_weights_ = std::make_shared<io::Checkpoint>(io::Checkpoint::open(m.component("transformer"), "diffusion_pytorch_model"));
    m.vae_weights_ = std::make_shared<io::Checkpoint>(io::Checkpoint::open(m.component("vae"), "diffusion_pytorch_model"));
    m.text_weights_ = std::make_shared<io::Checkpoint>(io::Checkpoint::open(m.component("text_encoder"), "model"));
    m.check_headers();
    return m;
  }

  /// The configurations alone, of a folder that may have no weights. Throws IoError or ConfigError.
  static PipelineConfig read_config(const std::filesystem::path& folder) {
    ModelFolder m;
    m.read_configurations(folder);
    return m.config_;
  }

  const std::filesystem::path& path() const { return path_; }
  const PipelineConfig& config() const { return config_; }
  std::filesystem::path tokenizer_folder() const { return component("tokenizer"); }
  const io::Checkpoint& transformer_weights() const { return *transformer_weights_; }
  const io::Checkpoint& vae_weights() const { return *vae_weights_; }
  const io::Checkpoint& text_weights() const { return *text_weights_; }
  /// Things worth telling a person that are not errors.
  const std::vector<std::string>& remarks() const { return remarks_; }

 private:
  ModelFolder() : index_(io::Json::parse("{}", "model_index.json")) {}

  void read_configurations(const std::filesystem::path& folder) {
    path_ = folder;
    require_folder(folder, "model folder");
    read_index();
    config_.transformer = read_transformer_config(json("transformer", "config.json"), &anonymous_transformer_);
    config_.vae = read_vae_config(json("vae", "config.json"));
    config_.text = t5::read_config(json("text_encoder", "config.json"));
    const SchedulerFile scheduler = read_scheduler_config(json("scheduler", "scheduler_config.json"));
    config_.scheduler = scheduler.config;
    config_.sampler = scheduler.sampler;
    detail::in_file(index_, [&] { validate(config_); });
  }

  std::filesystem::path component(const char* name) const { return path_ / name; }
  io::Json json(const char* name, const char* file) const {
    require_folder(component(name), cat("component ", name));
    return io::Json::read(component(name) / file);
  }

  static void require_folder(const std::filesystem::path& p, const std::string& what) {
    std::error_code error;
    const auto status = std::filesystem::status(p, error);
    if (!std::filesystem::exists(status)) throw IoError(cat(io::shown(p), ": ", what, " does not exist", error ? cat(" (", error.message(), ")") : ""));
    if (!std::filesystem::is_directory(status)) throw IoError(cat(io::shown(p), ": ", what, " must be a folder"));
  }

  void read_index() {
    index_ = io::Json::read(path_ / "model_index.json");
    index_.expect(io::JsonKind::object);
    const std::string name = detail::class_name(index_, {"CogVideoXPipeline", "CogVideoXImageToVideoPipeline", "CogVideoXVideoToVideoPipeline"});
    config_.image_to_video = name == "CogVideoXImageToVideoPipeline";
    require_component("scheduler", {"CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"});
    require_component("text_encoder", {"T5EncoderModel"});
    require_component("tokenizer", {"T5Tokenizer", "T5TokenizerFast"});
    require_component("transformer", {"CogVideoXTransformer3DModel"});
    require_component("vae", {"AutoencoderKLCogVideoX"});
    for (const std::string& key : index_.keys()) {
      if (key.empty() || key.front() == '_' || !index_.at(key).is_array()) continue;
      static constexpr std::string_view known[] = {"scheduler", "text_encoder", "tokenizer", "transformer", "vae"};
      if (std::find(std::begin(known), std::end(known), key) == std::end(known)) {
        const io::Json pair = index_.at(key);
        if (pair.size() == 2 && pair.at(0).is_null() && pair.at(1).is_null()) continue;  // the reference's "absent"
        pair.fail("unknown component; a CogVideoX pipeline has scheduler, text_encoder, tokenizer, transformer and vae");
      }
    }
  }

  void require_component(const char* name, std::initializer_list<std::string_view> classes) {
    const io::Json pair = index_.at(name);
    pair.expect(io::JsonKind::array);
    if (pair.size() != 2) pair.fail(cat("must be a pair [library, class], got ", pair.size(), " entries"));
    if (pair.at(0).is_null() || pair.at(1).is_null()) pair.fail("the component is absent (null), but the pipeline needs it");
    pair.at(0).as_string();
    const std::string& found = pair.at(1).as_string();
    if (std::find(classes.begin(), classes.end(), found) != classes.end()) return;
    std::string list;
    for (std::string_view c : classes) list += cat(list.empty() ? "" : " or ", c);
    pair.fail(cat("the class must be ", list, ", got \"", printable(found), "\""));
  }

  void check_headers() {
    Transformer transformer(config_.transformer);
    Vae vae(config_.vae);
    t5::Encoder text(config_.text);
    note_unused(nn::check_against(transformer, *transformer_weights_));
    note_unused(nn::check_against(vae, *vae_weights_));
    note_unused(nn::check_against(text, *text_weights_, t5::load_options()));
    for (const auto* weights : {&transformer_weights_, &vae_weights_, &text_weights_})
      remarks_.insert(remarks_.end(), (*weights)->warnings().begin(), (*weights)->warnings().end());
    if (anonymous_transformer_) remarks_.push_back(cat(io::shown(component("transformer") / "config.json"), ": no _class_name; read as CogVideoXTransformer3DModel"));
  }
  void note_unused(const nn::LoadReport& report) {
    if (!report.unused.empty())
      remarks_.push_back(cat(report.unused.size(), " weights in the file are not part of the model: ", nn::detail::listed_inline(report.unused)));
  }

  std::filesystem::path path_;
  io::Json index_;
  PipelineConfig config_;
  bool anonymous_transformer_ = false;
  std::shared_ptr<const io::Checkpoint> transformer_weights_, vae_weights_, text_weights_;
  std::vector<std::string> remarks_;
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
