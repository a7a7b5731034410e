// examples/kinema/recipe.cpp - recipes to JSON and back.
#include "recipe.hpp"

#include <kinema/io/sha256.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/text/utf8.hpp>
#include <kinema/version.hpp>

#include <filesystem>

namespace program {
namespace {

using namespace kinema;

/// The inputs under the names of their flags.
template <class R, class F>
void for_each_input(R& recipe, const F& f) {
  f("init_image", recipe.image);
  f("init_video", recipe.video);
  f("prompt_embeds", recipe.prompt_embeds);
  f("negative_prompt_embeds", recipe.negative_prompt_embeds);
}

std::string shown_path(const std::string& path, bool name_only) {
  if (!name_only) return path;
  const std::filesystem::path p(path);
  return (p.has_filename() ? p : p.parent_path()).filename().native();
}

}  // namespace

std::string whole_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error).lexically_normal();
  const std::string whole_text = error ? path : whole.native();
  return text::first_malformed_utf8(whole_text) == whole_text.size() ? whole_text : printable(whole_text, 65536);
}

std::string sha256_of(const Tensor<>& values) {
  const Tensor<> dense = op::contiguous(values);
  return io::Sha256().add(to_string(dense)).add(dense.ref().data, dense.bytes()).hex();
}

std::string Recipe::json(bool names_only) const {
  io::JsonWriter out;
  out.begin_object().field("kinema", KINEMA_VERSION);
  out.key("model").begin_object().field("path", shown_path(model, names_only)).field("fingerprint", fingerprint).end();
  out.key("request");
  cogvideox::write_json(out, request);
  out.key("inputs").begin_object();
  for_each_input(*this, [&](const char* name, const InputFile& file) {
    if (file) out.key(name).begin_object().field("path", shown_path(file.path, names_only)).field("values_sha256", file.values_sha256).end();
  });
  out.end();
  if (!loras.empty()) {
    out.field("lora_mode", loras_merged ? "merge" : "runtime").key("loras").begin_array();
    for (const LoraFile& lora : loras)
      out.begin_object().field("path", shown_path(lora.path, names_only)).field("values_sha256", lora.values_sha256).field("weight", lora.weight).end();
    out.end();
  }
  if (dtype) out.field("dtype", to_string(*dtype));
  if (quantized) out.field("weights", "int8");
  if (fps) out.field("fps", *fps);
  if (!output.empty()) out.field("output", output);
  if (checkpoint_every) out.field("checkpoint_every", *checkpoint_every);
  return out.end().text();
}

std::string Recipe::parameters() const {
  const cogvideox::Request& ask = request;
  std::string out = ask.prompt;
  if (!ask.negative_prompt.empty()) out += cat("\nNegative prompt: ", ask.negative_prompt);
  out += cat("\nSteps: ", ask.steps);
  if (ask.sampler) out += cat(", Sampler: ", *ask.sampler == diffusion::SamplerKind::dpm ? "DPM" : "DDIM");
  out += cat(", CFG scale: ", ask.guidance, ", Seed: ", ask.seed);
  if (ask.height && ask.width) out += cat(", Size: ", *ask.width, "x", *ask.height);
  if (ask.num_frames) out += cat(", Frames: ", *ask.num_frames);
  if (fps) out += cat(", FPS: ", *fps);
  if (video) out += cat(", Denoising strength: ", ask.strength);
  for (const LoraFile& lora : loras) out += cat(", LoRA: ", shown_path(lora.path, true), ":", lora.weight);
  return out + cat(", Model: ", shown_path(model, true), ", RNG: ", name_of(ask.rng), ", Version: kinema ", KINEMA_VERSION);
}

Recipe read_recipe(const io::Json& json) {
  Recipe r;
  json.expect(io::JsonKind::object);
  if (json.has("model")) {
    const io::Json model = json.at("model");
    r.model = model.string("path");
    r.fingerprint = model.string("fingerprint", "");
  }
  if (json.has("request")) {
    const io::Json request = json.at("request");
    r.request = cogvideox::read_request(request);
    r.prompt_said = request.has("prompt");
    r.tile_said = request.has("vae_tile");
  }
  if (json.has("inputs")) {
    const io::Json inputs = json.at("inputs");
    for (const std::string& key : inputs.keys()) {
      bool known = false;
      for_each_input(r, [&](std::string_view name, InputFile& file) {
        if (name != key) return;
        known = true;
        file = {inputs.at(key).string("path"), inputs.at(key).string("values_sha256", "")};
        if (!file) inputs.at(key).at("path").fail("must name a file, is empty");
      });
      if (!known) inputs.fail(cat("unknown field \"", printable(key), "\""));
    }
  }
  if (json.has("loras")) {
    const io::Json loras = json.at("loras");
    loras.expect(io::JsonKind::array);
    for (std::size_t i = 0; i < loras.size(); ++i) {
      const io::Json entry = loras.at(i);
      r.loras.push_back({{entry.string("path"), entry.string("values_sha256", "")}, entry.number("weight", 1)});
      if (!r.loras.back()) entry.at("path").fail("must name a file, is empty");
    }
    const std::string mode = json.string("lora_mode", "merge");
    if (mode != "merge" && mode != "runtime") json.at("lora_mode").fail(cat("must be merge or runtime, got \"", printable(mode), "\""));
    r.loras_merged = mode == "merge";
  }
  if (json.has("dtype")) {
    const io::Json dtype = json.at("dtype");
    for (const DType d : {DType::f32, DType::bf16, DType::f16})
      if (dtype.as_string() == to_string(d)) r.dtype = d;
    if (!r.dtype) dtype.fail(cat("must be one of f32, bf16, f16, got \"", printable(dtype.as_string()), "\""));
  }
  if (json.has("weights")) {
    const std::string word = json.string("weights");
    if (word != "stored" && word != "int8") json.at("weights").fail(cat("must be stored or int8, got \"", printable(word), "\""));
    r.quantized = word == "int8";
  }
  if (json.has("fps")) {
    r.fps = json.number("fps");
    if (!(*r.fps > 0 && *r.fps <= 240)) json.at("fps").fail(cat("must be a number above 0 to 240, got ", *r.fps));
  }
  r.output = json.string("output", "");
  r.checkpoint_every = json.optional_integer("checkpoint_every");
  if (r.checkpoint_every && *r.checkpoint_every < 0) json.at("checkpoint_every").fail(cat("must not be negative, got ", *r.checkpoint_every));
  return r;
}

}  // namespace program
