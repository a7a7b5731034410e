// kinema/model/t5/load.hpp - the text encoder's and tokenizer's JSON files, and how its weights are named on disk.
#pragma once

#include <kinema/io/json.hpp>
#include <kinema/model/t5/config.hpp>
#include <kinema/nn/load.hpp>

#include <filesystem>

namespace kinema::inline KINEMA_ABI::t5 {

/// text_encoder/config.json. Absent fields take the reference's class defaults, unknown ones are accepted.
/// Throws ConfigError, naming the file and the field.
inline Config read_config(const io::Json& j) {
  j.expect(io::JsonKind::object);
  const std::string type = j.string("model_type", "t5");
  if (type != "t5") throw ConfigError(cat(j.file(), ": model_type: must be t5, got \"", printable(type), "\""));
  Config c = Config::class_defaults();
  c.vocab_size = j.integer("vocab_size", c.vocab_size);
  c.d_model = j.integer("d_model", c.d_model);
  c.d_kv = j.integer("d_kv", c.d_kv);
  c.d_ff = j.integer("d_ff", c.d_ff);
  c.num_layers = j.integer("num_layers", c.num_layers);
  c.num_heads = j.integer("num_heads", c.num_heads);
  c.relative_attention_num_buckets = j.integer("relative_attention_num_buckets", c.relative_attention_num_buckets);
  c.relative_attention_max_distance = j.integer("relative_attention_max_distance", c.relative_attention_max_distance);
  c.layer_norm_epsilon = j.number("layer_norm_epsilon", c.layer_norm_epsilon);
  c.feed_forward_proj = j.string("feed_forward_proj", c.feed_forward_proj);
  try {
    validate(c);
  } catch (const ConfigError& e) {
    throw ConfigError(cat(j.file(), ": ", e.what()));
  }
  return c;
}

/// How many `<extra_id_k>` the tokenizer of a folder has: tokenizer_config.json's extra_ids, else the class default 100.
inline std::int64_t read_extra_ids(const std::filesystem::path& tokenizer_folder) {
  constexpr std::int64_t class_default = 100, most = 1'000'000;
  const std::filesystem::path file = tokenizer_folder / "tokenizer_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return class_default;
  const io::Json j = io::Json::read(file);
  const std::int64_t n = j.expect(io::JsonKind::object).integer("extra_ids", class_default);
  if (n < 0 || n > most) throw ConfigError(cat(j.file(), ": extra_ids: must be 0 to ", most, ", got ", n));
  return n;
}

/// The table of embeddings is stored under either of two names.
inline nn::LoadOptions load_options() {
  nn::LoadOptions options;
  options.aliases = {{"encoder.embed_tokens.weight", "shared.weight"}};
  return options;
}

}  // namespace kinema::inline KINEMA_ABI::t5
