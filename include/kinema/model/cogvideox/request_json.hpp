// kinema/model/cogvideox/request_json.hpp - requests as JSON, lossless but for tensors.
#pragma once

#include <kinema/io/json.hpp>
#include <kinema/model/cogvideox/request.hpp>

namespace kinema::inline KINEMA_ABI::cogvideox {
/// As `--rng` spells it.
constexpr std::string_view name_of(Rng rng) { return rng == Rng::philox ? "philox" : "torch-cpu"; }

/// One object with the fields of a request, called as the program's flags are. Image, video and embeddings are left to the
/// caller.
inline void write_json(io::JsonWriter& json, const Request& ask) {
  json.begin_object();
  json.field("prompt", ask.prompt).field("negative_prompt", ask.negative_prompt);
  if (ask.num_frames) json.field("num_frames", *ask.num_frames);
  if (ask.height) json.field("height", *ask.height);
  if (ask.width) json.field("width", *ask.width);
  json.field("steps", ask.steps).field("cfg_scale", ask.guidance).field("dynamic_cfg", diffusion::name_of(ask.dynamic_guidance));
  if (ask.sampler) json.field("scheduler", diffusion::name_of(*ask.sampler));
  json.field("seed", ask.seed).field("rng", name_of(ask.rng)).field("strength", ask.strength);
  json.key("vae_tile");
  if (!ask.tile) json.null();
  else json.begin_object().field("height", ask.tile->height).field("width", ask.tile->width).field("overlap_height", ask.tile->overlap_height).field("overlap_width", ask.tile->overlap_width).end();
  json.end();
}

namespace detail {

/// The value of a list whose word the string is. Throws ConfigError with the list.
template <class T, std::size_t N>
T word_of(const io::Json& json, const T (&values)[N]) {
  std::string allowed;
  for (const T value : values) {
    if (json.as_string() == name_of(value)) return value;
    allowed += cat(allowed.empty() ? "" : ", ", name_of(value));
  }
  json.fail(cat("must be one of ", allowed, ", got \"", printable(json.as_string()), "\""));
}

inline std::int64_t integer_in(const io::Json& json, std::int64_t low, std::int64_t high) {
  const std::int64_t v = json.as_integer();
  if (v < low || v > high) json.fail(cat("must be an integer from ", low, " to ", high, ", got ", v));
  return v;
}

inline double number_in(const io::Json& json, double low, double high, bool low_excluded = false) {
  const double v = json.as_number();
  if (!(v >= low && v <= high) || (low_excluded && v == low))
    json.fail(cat("must be a number ", low_excluded ? "above " : "from ", low, " to ", high, ", got ", v));
  return v;
}

}  // namespace detail

/// What write_json() wrote; absent fields keep their defaults. Throws ConfigError for an unknown field, a wrong type or a
/// value that no model takes, naming file and field.
inline Request read_request(const io::Json& json) {
  Request ask;
  constexpr std::int64_t many = 1'000'000;
  for (const std::string& key : json.keys()) {
    const io::Json value = json.at(key);
    if (key == "prompt") ask.prompt = value.as_string();
    else if (key == "negative_prompt") ask.negative_prompt = value.as_string();
    else if (key == "num_frames") ask.num_frames = detail::integer_in(value, 1, many);
    else if (key == "height") ask.height = detail::integer_in(value, 1, many);
    else if (key == "width") ask.width = detail::integer_in(value, 1, many);
    else if (key == "steps") ask.steps = detail::integer_in(value, 1, many);
    else if (key == "cfg_scale") ask.guidance = detail::number_in(value, 0, 1e6);
    else if (key == "dynamic_cfg") ask.dynamic_guidance = detail::word_of(value, {diffusion::DynamicGuidance::off, diffusion::DynamicGuidance::reference, diffusion::DynamicGuidance::cosine});
    else if (key == "scheduler") ask.sampler = detail::word_of(value, {diffusion::SamplerKind::ddim, diffusion::SamplerKind::dpm});
    else if (key == "seed") ask.seed = static_cast<std::uint64_t>(detail::integer_in(value, 0, INT64_MAX));
    else if (key == "rng") ask.rng = detail::word_of(value, {Rng::torch_cpu, Rng::philox});
    else if (key == "strength") ask.strength = detail::number_in(value, 0, 1, true);
    else if (key == "vae_tile" && value.is_null()) ask.tile.reset();
    else if (key == "vae_tile") {
      VaeTile tile;
      for (const std::string& field : value.keys()) {
        const io::Json size = value.at(field);
        if (field == "height") tile.height = detail::integer_in(size, 0, max_side);
        else if (field == "width") tile.width = detail::integer_in(size, 0, max_side);
        else if (field == "overlap_height") tile.overlap_height = detail::number_in(size, 0, 1);
        else if (field == "overlap_width") tile.overlap_width = detail::number_in(size, 0, 1);
        else value.fail(cat("unknown field \"", printable(field), "\""));
      }
      ask.tile = tile;
    } else {
      json.fail(cat("unknown field \"", printable(key), "\""));
    }
  }
  return ask;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
