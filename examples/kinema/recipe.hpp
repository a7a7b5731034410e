// examples/kinema/recipe.hpp - everything that decides the bits of a video, as JSON: in side-cars, tags and unfinished runs.
#pragma once

#include <kinema/io/tags.hpp>
#include <kinema/model/cogvideox/request_json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace program {

/// A file that a video is made from, and a digest of the values that were read from it; no path: there is none.
struct InputFile {
  std::string path, values_sha256;
  explicit operator bool() const { return !path.empty(); }
};

/// An adapter of the transformer.
struct LoraFile : InputFile {
  double weight = 1;
};

/// What is absent was not said.
struct Recipe {
  std::string model, fingerprint;      ///< folder, and cogvideox::fingerprint() of it
  kinema::cogvideox::Request request;  ///< without tensors
  bool prompt_said = false, tile_said = false;
  InputFile image, video, prompt_embeds, negative_prompt_embeds;
  std::vector<LoraFile> loras;
  bool loras_merged = true;
  std::optional<kinema::DType> dtype;
  bool quantized = false;              ///< --weights int8
  std::optional<double> fps;
  std::string output;                         ///< of an unfinished run
  std::optional<std::int64_t> checkpoint_every;  ///< of an unfinished run, 0: never

  /// `names_only`: no folders, for tags in a file that is shared.
  std::string json(bool names_only = false) const;
  /// The lines that image and video sites read: prompt, negative prompt, "Steps: 50, Sampler: DDIM, CFG scale: 6, …".
  std::string parameters() const;
  /// Both, for the inside of a file that may be shared: without folders.
  kinema::io::Tags tags() const { return {{"parameters", parameters()}, {"kinema", json(true)}}; }
};

/// Throws ConfigError, naming file and field, for what Recipe::json() cannot have written; fields that it does not know
/// outside of the request are accepted.
Recipe read_recipe(const kinema::io::Json& json);

/// SHA-256 of a tensor's type, shape and values.
std::string sha256_of(const kinema::Tensor<>& values);

/// The path from the root, as UTF-8: bytes that are none are escaped.
std::string whole_path(const std::string& path);

}  // namespace program
