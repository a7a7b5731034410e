// tests/program/bad_input/cases_configs.cpp - JSON that is none, fields of wrong types and values, relations between them.
#include "bytes.hpp"
#include "case.hpp"

namespace bad_input {
namespace {

enum Type { integer, number, boolean, text, integers, strings, optional_integer, optional_numbers };
struct Field { const char* file; const char* name; Type type; };

const Field fields[] = {
    {"transformer/config.json", "num_attention_heads", integer}, {"transformer/config.json", "attention_head_dim", integer}, {"transformer/config.json", "num_layers", integer},
    {"transformer/config.json", "in_channels", integer}, {"transformer/config.json", "out_channels", optional_integer}, {"transformer/config.json", "patch_size", integer},
    {"transformer/config.json", "patch_size_t", optional_integer}, {"transformer/config.json", "patch_bias", boolean}, {"transformer/config.json", "sample_height", integer},
    {"transformer/config.json", "sample_width", integer}, {"transformer/config.json", "sample_frames", integer}, {"transformer/config.json", "temporal_compression_ratio", integer},
    {"transformer/config.json", "max_text_seq_length", integer}, {"transformer/config.json", "text_embed_dim", integer}, {"transformer/config.json", "time_embed_dim", integer},
    {"transformer/config.json", "ofs_embed_dim", optional_integer}, {"transformer/config.json", "flip_sin_to_cos", boolean}, {"transformer/config.json", "freq_shift", number},
    {"transformer/config.json", "timestep_activation_fn", text}, {"transformer/config.json", "activation_fn", text}, {"transformer/config.json", "attention_bias", boolean},
    {"transformer/config.json", "norm_elementwise_affine", boolean}, {"transformer/config.json", "norm_eps", number}, {"transformer/config.json", "dropout", number},
    {"transformer/config.json", "spatial_interpolation_scale", number}, {"transformer/config.json", "temporal_interpolation_scale", number},
    {"transformer/config.json", "use_rotary_positional_embeddings", boolean}, {"transformer/config.json", "use_learned_positional_embeddings", boolean},
    {"vae/config.json", "in_channels", integer}, {"vae/config.json", "out_channels", integer}, {"vae/config.json", "latent_channels", integer},
    {"vae/config.json", "block_out_channels", integers}, {"vae/config.json", "layers_per_block", integer}, {"vae/config.json", "norm_eps", number},
    {"vae/config.json", "norm_num_groups", integer}, {"vae/config.json", "temporal_compression_ratio", number}, {"vae/config.json", "sample_height", integer},
    {"vae/config.json", "sample_width", integer}, {"vae/config.json", "scaling_factor", number}, {"vae/config.json", "invert_scale_latents", boolean}, {"vae/config.json", "act_fn", text},
    {"vae/config.json", "use_quant_conv", boolean}, {"vae/config.json", "down_block_types", strings}, {"vae/config.json", "up_block_types", strings},
    {"vae/config.json", "latents_mean", optional_numbers},
    {"text_encoder/config.json", "d_model", integer}, {"text_encoder/config.json", "d_kv", integer}, {"text_encoder/config.json", "d_ff", integer},
    {"text_encoder/config.json", "num_heads", integer}, {"text_encoder/config.json", "num_layers", integer}, {"text_encoder/config.json", "vocab_size", integer},
    {"text_encoder/config.json", "relative_attention_num_buckets", integer}, {"text_encoder/config.json", "relative_attention_max_distance", integer},
    {"text_encoder/config.json", "layer_norm_epsilon", number}, {"text_encoder/config.json", "feed_forward_proj", text},
    {"scheduler/scheduler_config.json", "num_train_timesteps", integer}, {"scheduler/scheduler_config.json", "beta_start", number}, {"scheduler/scheduler_config.json", "beta_end", number},
    {"scheduler/scheduler_config.json", "beta_schedule", text}, {"scheduler/scheduler_config.json", "trained_betas", optional_numbers},
    {"scheduler/scheduler_config.json", "prediction_type", text}, {"scheduler/scheduler_config.json", "timestep_spacing", text},
    {"scheduler/scheduler_config.json", "rescale_betas_zero_snr", boolean}, {"scheduler/scheduler_config.json", "set_alpha_to_one", boolean},
    {"scheduler/scheduler_config.json", "steps_offset", integer}, {"scheduler/scheduler_config.json", "snr_shift_scale", number},
};

/// What is no value of the type, whatever the field.
std::vector<std::string> wrong(Type type) {
  switch (type) {
    case integer: return {"\"2\"", "2.0", "true", "null", "[2]", "2e0", "18446744073709551616"};
    case optional_integer: return {"\"2\"", "2.5", "false", "{}"};
    case number: return {"\"1\"", "true", "null", "[1]", "NaN", "Infinity"};
    case boolean: return {"\"true\"", "0", "null", "[]"};
    case text: return {"1", "null", "true", "[\"x\"]"};
    case integers: return {"8", "\"8\"", "null", "[8, 8.0, 16, 16]", "[8, null]", "{}"};
    case strings: return {"\"x\"", "null", "[1]", "{}"};
    case optional_numbers: return {"1", "\"x\"", "[\"1\"]", "[null]"};
  }
  return {};
}

/// The file with the value of a field replaced; the field is added where it is not there.
std::string with_value(const std::string& text, const std::string& field, const std::string& value) {
  const std::size_t key = text.find("\"" + field + "\":");
  if (key == std::string::npos) return replaced(text, "{", "{\"" + field + "\": " + value + ",");
  std::size_t begin = text.find(':', key) + 2, end = begin;
  int depth = 0;
  for (; depth > 0 || (text[end] != ',' && text[end] != '\n'); ++end) depth += text[end] == '[' ? 1 : text[end] == ']' ? -1 : 0;
  return text.substr(0, begin) + value + text.substr(end);
}

}  // namespace

void add_configs(Cases& cases) {
  const auto set = [&](const std::string& file, const std::string& field, const std::string& value) {
    return [=](const Folder& f) { f.replace("model/" + file, with_value(f.read("model/" + file), field, value)); };
  };
  const auto refuse = [&](const std::string& file, const std::string& field, const std::string& value, Words words = {}) {
    if (words.empty()) words = {field};
    words.push_back(file);
    cases.push_back({file + ": " + field + " is " + value.substr(0, 40), {3}, words, tokenize(), set(file, field, value)});
  };
  const auto accept = [&](const std::string& file, const std::string& field, const std::string& value) {
    cases.push_back({file + ": " + field + " may be " + value.substr(0, 40), {0}, {}, tokenize(), set(file, field, value)});
  };

  for (const Field& f : fields)
    for (const std::string& value : wrong(f.type)) refuse(f.file, f.name, value);

  // Values that no model can have.
  const std::string t = "transformer/config.json", v = "vae/config.json", e = "text_encoder/config.json", s = "scheduler/scheduler_config.json";
  for (const char* field : {"num_attention_heads", "attention_head_dim", "num_layers", "in_channels", "patch_size", "sample_height", "sample_frames", "temporal_compression_ratio", "max_text_seq_length", "text_embed_dim", "time_embed_dim"})
    for (const char* value : {"0", "-1", "2147483648", "9223372036854775807"}) refuse(t, field, value);
  for (const char* field : {"d_model", "d_kv", "d_ff", "num_heads", "num_layers", "vocab_size", "relative_attention_num_buckets", "relative_attention_max_distance"})
    for (const char* value : {"0", "-1", "9223372036854775807"}) refuse(e, field, value);
  for (const char* field : {"in_channels", "latent_channels", "layers_per_block", "norm_num_groups", "sample_height"})
    for (const char* value : {"0", "-1", "9223372036854775807"}) refuse(v, field, value);
  refuse(t, "num_layers", "1000000000");
  refuse(t, "attention_head_dim", "24", {"attention_head_dim", "multiple of 16"});
  refuse(t, "patch_size_t", "0");
  refuse(t, "norm_eps", "0");
  refuse(t, "norm_eps", "1e999", {"1e999"});
  refuse(t, "dropout", "2");
  refuse(t, "activation_fn", "\"gulu\"", {"activation_fn", "gelu-approximate", "gulu"});
  refuse(t, "timestep_activation_fn", "\"x\"", {"timestep_activation_fn", "silu"});
  cases.push_back({t + ": a learned table that the weights do not have", {3}, {"patch_embed.pos_embedding", "transformer"}, tokenize(), set(t, "use_learned_positional_embeddings", "true")});
  refuse(t, "_class_name", "\"FluxTransformer2DModel\"", {"_class_name", "FluxTransformer2DModel"});
  cases.push_back({t + ": another width than the text encoder has", {3}, {"text_embed_dim (64)", "d_model (32)"}, tokenize(), set(t, "text_embed_dim", "64")});
  refuse(v, "block_out_channels", "[]");
  refuse(v, "block_out_channels", "[8, 8, 16, 18]", {"block_out_channels", "norm_num_groups"});
  refuse(v, "block_out_channels", "[8, 0, 16, 16]");
  refuse(v, "norm_num_groups", "3", {"norm_num_groups"});
  refuse(v, "temporal_compression_ratio", "3", {"temporal_compression_ratio", "power of two"});
  refuse(v, "temporal_compression_ratio", "0");
  refuse(v, "scaling_factor", "0");
  refuse(v, "scaling_factor", "-0.7");
  refuse(v, "act_fn", "\"relu\"", {"act_fn", "silu"});
  refuse(v, "down_block_types", "[\"CogVideoXDownBlock3D\"]", {"down_block_types"});
  refuse(v, "down_block_types", "[\"A\", \"A\", \"A\", \"A\"]", {"down_block_types", "CogVideoXDownBlock3D"});
  refuse(v, "up_block_types", "[\"A\", \"A\", \"A\", \"A\"]", {"up_block_types", "CogVideoXUpBlock3D"});
  refuse(v, "use_quant_conv", "true");
  cases.push_back({v + ": other channels than the transformer has", {3}, {"latent_channels (8)", "out_channels (16)"}, tokenize(), set(v, "latent_channels", "8")});
  refuse(v, "_class_name", "\"AutoencoderKL\"", {"_class_name", "AutoencoderKLCogVideoX"});
  refuse(e, "model_type", "\"bert\"", {"model_type", "bert"});
  refuse(e, "feed_forward_proj", "\"relu\"", {"feed_forward_proj", "gated-gelu"});
  refuse(e, "relative_attention_num_buckets", "31", {"relative_attention_num_buckets", "even"});
  refuse(s, "num_train_timesteps", "0");
  refuse(s, "num_train_timesteps", "-5");
  refuse(s, "num_train_timesteps", "9223372036854775807");
  refuse(s, "beta_start", "0");
  refuse(s, "beta_end", "1");
  refuse(s, "beta_start", "-0.1");
  refuse(s, "beta_schedule", "\"cosine\"", {"beta_schedule", "scaled_linear"});
  refuse(s, "prediction_type", "\"x\"", {"prediction_type", "v_prediction"});
  refuse(s, "timestep_spacing", "\"sideways\"", {"timestep_spacing", "trailing"});
  refuse(s, "snr_shift_scale", "0");
  refuse(s, "trained_betas", "[]");
  refuse(s, "trained_betas", "[0.5]");
  refuse(s, "_class_name", "\"EulerDiscreteScheduler\"", {"_class_name", "CogVideoXDDIMScheduler"});

  // Text that is no JSON.
  for (const std::string& file : {std::string("model_index.json"), t, v, e, s}) {
    const auto broken = [&](const std::string& what, Words words, const std::function<std::string(std::string)>& change) {
      words.push_back(file);
      cases.push_back({file + ": " + what, {3}, words, tokenize(), [=](const Folder& f) { f.replace("model/" + file, change(f.read("model/" + file))); }});
    };
    broken("empty", {"empty"}, [](const std::string&) { return ""; });
    broken("spaces", {"empty"}, [](const std::string&) { return " \n "; });
    broken("BOM", {"BOM"}, [](const std::string& x) { return "\xEF\xBB\xBF" + x; });
    broken("UTF-16", {}, [](const std::string& x) {
      std::string out = "\xFF\xFE";
      for (const char c : x) (out += c) += '\0';
      return out;
    });
    broken("trailing comma", {"line"}, [](const std::string& x) { return x.substr(0, x.find_last_of('}')) + ",}"; });
    broken("line comment", {"line 1"}, [](const std::string& x) { return "// x\n" + x; });
    broken("block comment", {"line 1"}, [](const std::string& x) { return "/* x */" + x; });
    broken("cut", {"ends early"}, [](const std::string& x) { return x.substr(0, x.size() / 2); });
    broken("array", {"object", "array"}, [](const std::string&) { return "[]"; });
    broken("null", {"object", "null"}, [](const std::string&) { return "null"; });
    broken("a string", {"object", "string"}, [](const std::string&) { return "\"x\""; });
    broken("a duplicate key", {"duplicate key"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": 1, \"_x\": 1,"); });
    broken("a duplicate key, escaped", {"duplicate key"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": 1, \"\\u005fx\": 1,"); });
    broken("a nested duplicate key", {"duplicate key"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": [{\"y\": 1, \"y\": 2}],"); });
    broken("NaN in an unknown field", {"line 1"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": NaN,"); });
    broken("-Infinity in an unknown field", {"line 1"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": -Infinity,"); });
    broken("100 levels", {"nesting limit 64"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": " + std::string(100, '[') + std::string(100, ']') + ","); });
    broken("200000 levels", {}, [](const std::string&) { return std::string(200000, '['); });
    broken("invalid UTF-8", {"UTF-8"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": \"\xC3\","); });
    broken("lone surrogate", {"surrogate"}, [](const std::string& x) { return replaced(x, "{", R"({"_x": "\udc00",)"); });
    broken("NUL", {"control byte"}, [](const std::string& x) { return x + std::string(1, '\0'); });
    broken("raw tab in a string", {}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": \"a\tb\","); });
    broken("larger than 1 MiB", {"1048576"}, [](const std::string& x) { return x + std::string(1100000, ' '); });
    broken("a plus sign", {"line 1"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": +1,"); });
    broken("a hexadecimal number", {"line 1"}, [](const std::string& x) { return replaced(x, "{", "{\"_x\": 0x1,"); });
    broken("HTML", {}, [](const std::string&) { return "<html></html>"; });
    broken("LFS pointer", {}, [](const std::string&) { return "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"; });
    const auto fine = [&](const std::string& what, const std::function<std::string(std::string)>& change) {
      cases.push_back({file + " valid: " + what, {0}, {}, tokenize(), [=](const Folder& f) { f.replace("model/" + file, change(f.read("model/" + file))); }});
    };
    fine("unknown fields", [](const std::string& x) { return replaced(x, "{", R"({"_x": null, "_y": [1, {"z": 1e5}], "_ü": "\ud83d\ude00",)"); });
    fine("one line", [](std::string x) {
      std::erase(x, '\n');
      return x;
    });
    fine("carriage returns", [](const std::string& x) {
      std::string out;
      for (const char c : x) out += c == '\n' ? "\r\n" : std::string(1, c);
      return out;
    });
    fine("spaces around", [](const std::string& x) { return " \n\t" + x + "\n\n  "; });
    fine("no newline at the end", [](const std::string& x) { return x.substr(0, x.find_last_of('}') + 1); });
    fine("an escaped key", [](const std::string& x) { return replaced(x, "\"_class_name\"", "\"\\u005fclass_name\""); });
  }

  // Absent fields take the class default, null stands only where that is the default.
  accept(t, "patch_size_t", "null");
  accept(t, "ofs_embed_dim", "null");
  accept(s, "trained_betas", "null");
  accept(v, "temporal_compression_ratio", "4.0");
  accept(v, "scaling_factor", "7e-1");
  accept(v, "latents_mean", "[0.1]");
  accept(t, "norm_eps", "1E-5");
  accept(t, "dropout", "0.1");
  for (const char* field : {"\"dropout\": 0,", "\"activation_fn\": \"gelu-approximate\",", "\"patch_size_t\": null,"})
    cases.push_back({t + " without " + field, {0}, {}, tokenize(), [=](const Folder& f) { f.edit("model/" + t, field, ""); }});
  cases.push_back({t + " without its class", {0}, {"no _class_name"}, tokenize(), [=](const Folder& f) { f.edit("model/" + t, "\"_class_name\": \"CogVideoXTransformer3DModel\",", ""); }});
  cases.push_back({"C04 a default that does not fit the weights", {3}, {"transformer"}, tokenize(), [=](const Folder& f) { f.edit("model/" + t, "\"num_layers\": 2,", ""); }});
}

}  // namespace bad_input
