// kinema/model/cogvideox/lora.hpp - adapter files of the transformer, as peft, diffusers and their trainers write them.
#pragma once

#include <kinema/io/json.hpp>
#include <kinema/io/safetensors.hpp>
#include <kinema/nn/lora.hpp>

#include <cmath>
#include <filesystem>
#include <string>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// The file name that trainers give an adapter.
inline constexpr const char* lora_file_name = "pytorch_lora_weights.safetensors";

namespace detail {

/// Metadata of newer files: a JSON object, flat, "transformer.lora_alpha" and so on.
inline constexpr const char* lora_metadata_key = "lora_adapter_metadata";

/// alpha of a module by the metadata: `lora_alpha`, or the entry of `alpha_pattern` that the module's path ends with;
/// with `use_rslora` the scale is alpha / sqrt(rank). Throws ConfigError for fields of another type.
inline nn::LoraAlpha alpha_by_metadata(const io::Json& json, const std::string& prefix) {
  json.expect(io::JsonKind::object);
  const auto key = [&](const char* name) { return cat(prefix, ".", name); };
  std::optional<double> common;
  if (json.has(key("lora_alpha"))) common = json.number(key("lora_alpha"));
  const bool rank_stabilised = json.boolean(key("use_rslora"), false);
  std::vector<std::pair<std::string, double>> patterns;
  if (json.has(key("alpha_pattern"))) {
    const io::Json list = json.at(key("alpha_pattern"));
    list.expect(io::JsonKind::object);
    for (const std::string& name : list.keys()) patterns.emplace_back(name, list.number(name));
  }
  return [=](const std::string& module, std::int64_t rank) {
    double alpha = common.value_or(static_cast<double>(rank));
    for (const auto& [name, value] : patterns)
      if (module == name || module.ends_with("." + name)) alpha = value;
    return rank_stabilised ? alpha * std::sqrt(static_cast<double>(rank)) : alpha;
  };
}

}  // namespace detail

/// Reads an adapter of the transformer: a .safetensors file, or a folder with pytorch_lora_weights.safetensors. `weight`
/// multiplies it. alpha comes from the file's metadata; files without are taken as trained with alpha = rank, as the
/// reference does. Throws IoError, CheckpointError, ConfigError (metadata), NonFiniteError or ArgumentError (weight).
inline nn::LoraReading read_lora(const std::filesystem::path& path, double weight = 1) {
  std::error_code ignored;
  const io::Safetensors file(std::filesystem::is_directory(path, ignored) ? path / lora_file_name : path);
  nn::LoraAlpha alpha;
  const auto metadata = file.metadata().find(detail::lora_metadata_key);
  if (metadata != file.metadata().end())
    alpha = detail::alpha_by_metadata(io::Json::parse(metadata->second, cat(file.description(), ": ", detail::lora_metadata_key)), "transformer");
  return nn::read_lora(file, "transformer", weight, alpha);
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
