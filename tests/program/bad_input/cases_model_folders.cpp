// tests/program/bad_input/cases_model_folders.cpp - components, shards and their index, weights against configurations.
#include "bytes.hpp"
#include "case.hpp"

#include <regex>

#include <sys/stat.h>

namespace bad_input {
namespace {

const std::string vae = "model/vae/diffusion_pytorch_model";
const std::string transformer = "model/transformer/diffusion_pytorch_model";
const std::string index_name = vae + ".safetensors.index.json";

Words tensor_names(const std::string& safetensors) {
  Words names;
  const std::size_t bytes = static_cast<unsigned char>(safetensors[0]) | static_cast<std::size_t>(static_cast<unsigned char>(safetensors[1])) << 8 |
                            static_cast<std::size_t>(static_cast<unsigned char>(safetensors[2])) << 16;
  const std::string header = safetensors.substr(8, bytes);
  const std::regex name(R"re("([^"]+)":\{"dtype")re");
  for (std::sregex_iterator i(header.begin(), header.end(), name), end; i != end; ++i) names.push_back((*i)[1]);
  return names;
}

/// The VAE's weights as two shards with an index: the second holds two tensors more that no model has. `edit` changes the index.
void shard(const Folder& f, const std::function<std::string(std::string)>& edit = {}) {
  f.own_model();
  const std::string all = f.read(vae + ".safetensors");
  f.remove(vae + ".safetensors");
  f.replace(vae + "-00001-of-00002.safetensors", all);
  f.replace(vae + "-00002-of-00002.safetensors", safetensors(R"({"extra.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"extra.weight":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", std::string(12, '\0')));
  std::string index = "{\"metadata\":{\"total_size\":" + std::to_string(all.size()) + "},\"weight_map\":{\"extra.weight\":\"diffusion_pytorch_model-00002-of-00002.safetensors\","
                      "\"extra.bias\":\"diffusion_pytorch_model-00002-of-00002.safetensors\"";
  for (const std::string& name : tensor_names(all)) index += ",\"" + name + "\":\"diffusion_pytorch_model-00001-of-00002.safetensors\"";
  index += "}}";
  f.replace(index_name, edit ? edit(index) : index);
}

std::function<void(const Folder&)> sharded(const std::string& from, const std::string& to) {
  return [from, to](const Folder& f) { shard(f, [&](const std::string& index) { return replaced(index, from, to); }); };
}
std::function<void(const Folder&)> index_is(const std::string& text) {
  return [text](const Folder& f) { shard(f, [&](const std::string&) { return text; }); };
}

/// Rewrites the header of a weight file with a replacement of the same length.
std::function<void(const Folder&)> header(const std::string& file, const std::string& from, const std::string& to) {
  return [=](const Folder& f) { f.edit(file, from, to); };
}

/// The weights of `file` with one more tensor.
std::function<void(const Folder&)> with_tensor(const std::string& file, const std::string& name) {
  return [=](const Folder& f) {
    f.own_model();
    std::string bytes = f.read(file);
    std::size_t n = 0;
    for (int i = 0; i < 8; ++i) n |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)])) << (8 * i);
    std::string head = bytes.substr(8, n);
    const std::string data = bytes.substr(8 + n);
    head.erase(head.find_last_of('}'));
    head += ",\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + std::to_string(data.size()) + "," + std::to_string(data.size() + 4) + "]}}";
    f.replace(file, safetensors(head, data + std::string(4, '\0')));
  };
}

std::size_t sizes(const std::string& type) { return type == "C64" ? 8 : type.ends_with("32") ? 4 : type.ends_with("16") ? 2 : 1; }

}  // namespace

void add_model_folders(Cases& cases) {
  const auto refuse = [&](const std::string& name, const Words& words, std::function<void(const Folder&)> prepare) {
    cases.push_back({name, {3}, words, tokenize(), std::move(prepare)});
  };
  const auto accept = [&](const std::string& name, const Words& words, std::function<void(const Folder&)> prepare) {
    cases.push_back({name, {0}, words, tokenize(), std::move(prepare)});
  };
  const auto remove = [](const std::string& what) { return [what](const Folder& f) { f.remove(what); }; };
  const auto replace = [](const std::string& what, const std::string& bytes) { return [what, bytes](const Folder& f) { f.replace(what, bytes); }; };
  const auto edit = [](const std::string& what, const std::string& from, const std::string& to) { return [=](const Folder& f) { f.edit(what, from, to); }; };

  // Parts that are missing or something else.
  for (const char* part : {"transformer", "vae", "text_encoder", "scheduler", "tokenizer"}) {
    refuse(std::string("component missing: ") + part, {part}, remove(std::string("model/") + part));
    refuse(std::string("component is a file: ") + part, {part}, [part](const Folder& f) {
      f.remove(std::string("model/") + part);
      f.file(std::string("model/") + part, "x");
    });
    refuse(std::string("component not in model_index.json: ") + part, {"model_index.json", part},
           [part](const Folder& f) { f.edit("model/model_index.json", std::string("\"") + part + "\"", std::string("\"x-") + part + "\""); });
    refuse(std::string("component null: ") + part, {"model_index.json", part}, [part](const Folder& f) {
      const std::string text = f.read("model/model_index.json");
      const std::size_t key = text.find("\"" + std::string(part) + "\""), open = text.find('[', key), close = text.find(']', key);
      f.replace("model/model_index.json", text.substr(0, open) + "[null, null]" + text.substr(close + 1));
    });
  }
  for (const char* config : {"model_index.json", "transformer/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"}) {
    refuse(std::string("missing: ") + config, {config}, remove(std::string("model/") + config));
    refuse(std::string("a folder: ") + config, {config}, [config](const Folder& f) {
      f.remove(std::string("model/") + config);
      f.folder(std::string("model/") + config);
    });
    refuse(std::string("a FIFO: ") + config, {config, "FIFO"}, [config](const Folder& f) {
      f.remove(std::string("model/") + config);
      ::mkfifo((f / ("model/" + std::string(config))).c_str(), 0600);
    });
  }
  for (const char* weights : {"transformer/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"}) {
    const std::string path = std::string("model/") + weights, folder = std::string(weights).substr(0, std::string(weights).find('/'));
    refuse(std::string("missing: ") + weights, {folder, ".safetensors"}, remove(path));
    refuse(std::string("cut by a byte: ") + weights, {weights, "1 byte short"}, [path](const Folder& f) { f.replace(path, [&] { std::string b = f.read(path); b.pop_back(); return b; }()); });
    refuse(std::string("cut in the header: ") + weights, {weights}, [path](const Folder& f) { f.replace(path, f.read(path).substr(0, 100)); });
    refuse(std::string("a byte more: ") + weights, {weights, "1 byte after"}, [path](const Folder& f) { f.replace(path, f.read(path) + "x"); });
    refuse(std::string("only pickle: ") + weights, {folder, "pickle"}, [path](const Folder& f) {
      const std::string bytes = f.read(path);
      f.remove(path);
      f.replace(path.substr(0, path.rfind('/')) + "/pytorch_model.bin", "\x80\x02}q");
    });
    refuse(std::string("unfinished download: ") + weights, {folder, "unfinished download"}, [path](const Folder& f) {
      f.remove(path);
      f.replace(path + ".incomplete", "");
    });
    refuse(std::string("LFS pointer: ") + weights, {weights, "LFS"}, replace(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"));
    refuse(std::string("another model's: ") + weights, {folder}, replace(path, one_tensor("x.weight", "F32", "[4]", 16)));
  }
  refuse("X17 only a variant", {"vae", "fp16"}, [](const Folder& f) {
    const std::string bytes = f.read(vae + ".safetensors");
    f.remove(vae + ".safetensors");
    f.replace(vae + ".fp16.safetensors", bytes);
  });
  refuse("shards without an index", {"vae", "index"}, [](const Folder& f) {
    shard(f);
    f.remove(index_name);
  });

  // The index.
  const std::string first = "diffusion_pytorch_model-00001-of-00002.safetensors", second = "diffusion_pytorch_model-00002-of-00002.safetensors";
  const std::string extra = "\"extra.weight\":\"" + second + "\"";
  const std::string where = "diffusion_pytorch_model.safetensors.index.json";
  refuse("X01 no weight_map", {where, "weight_map"}, index_is("{}"));
  refuse("X01 weight_map is an array", {where, "/weight_map", "object"}, index_is(R"({"weight_map":[]})"));
  refuse("X01 weight_map is empty", {where, "/weight_map", "empty"}, index_is(R"({"weight_map":{}})"));
  refuse("X01 weight_map null", {where, "/weight_map", "object"}, index_is(R"({"weight_map":null})"));
  refuse("X01 the index is an array", {where, "object"}, index_is("[]"));
  refuse("X01 the index is empty", {where, "empty"}, index_is(""));
  refuse("X02 a shard is a number", {where, "/weight_map/extra.weight", "string"}, sharded(extra, "\"extra.weight\":1"));
  refuse("X02 a shard is null", {where, "/weight_map/extra.weight", "string"}, sharded(extra, "\"extra.weight\":null"));
  for (const char* bad : {"../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\\\b.safetensors", "C:x.safetensors", "x\\u0000.safetensors", "../../../../etc/passwd", "~/x/y.safetensors",
                          "file:///etc/passwd", "..\\\\x.safetensors"})
    refuse(std::string("X03 a shard called ") + bad, {where, "/weight_map/extra.weight", "plain file name"}, sharded(extra, "\"extra.weight\":\"" + std::string(bad) + "\""));
  refuse("X03 a shard is no safetensors file", {where, ".safetensors"}, sharded(extra, "\"extra.weight\":\"pytorch_model.bin\""));
  refuse("X03 a shard's name of 300 bytes", {where, "300"}, sharded(extra, "\"extra.weight\":\"" + std::string(288, 'x') + ".safetensors\""));
  refuse("X05 a shard is a link to itself", {second}, [&, second](const Folder& f) {
    shard(f);
    f.remove("model/vae/" + second);
    f.link(second, "model/vae/" + second);
  });
  refuse("X05 a shard is a dangling link", {second, "No such file"}, [second](const Folder& f) {
    shard(f);
    f.remove("model/vae/" + second);
    f.link("blobs/none", "model/vae/" + second);
  });
  refuse("X05 a shard is a link to a folder", {second, "folder"}, [second](const Folder& f) {
    shard(f);
    f.remove("model/vae/" + second);
    f.link(".", "model/vae/" + second);
  });
  refuse("X05 a shard is a FIFO", {second, "FIFO"}, [second](const Folder& f) {
    shard(f);
    f.remove("model/vae/" + second);
    ::mkfifo((f / ("model/vae/" + second)).c_str(), 0600);
  });
  refuse("X06 a shard is missing", {where, second, "missing"}, [second](const Folder& f) {
    shard(f);
    f.remove("model/vae/" + second);
  });
  refuse("X06 both shards are missing", {where, first, second, "2 shards are missing"}, [first, second](const Folder& f) {
    shard(f);
    f.remove("model/vae/" + first);
    f.remove("model/vae/" + second);
  });
  refuse("X08 a key listed in the other shard", {"extra.weight", first, second}, sharded(extra, "\"extra.weight\":\"" + first + "\""));
  refuse("X09 a key in two shards", {"extra.weight", "two shards"}, [second](const Folder& f) {
    shard(f, [&](const std::string& index) { return replaced(index, "\"extra.weight\":", "\"other.weight\":\"x3.safetensors\",\"extra.weight\":"); });
    f.replace("model/vae/x3.safetensors", safetensors(R"({"extra.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"other.weight":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", std::string(12, '\0')));
  });
  refuse("X10 a key in no shard", {"nowhere.weight"}, sharded("{\"extra.weight\"", "{\"nowhere.weight\":\"" + first + "\",\"extra.weight\""));
  refuse("X12 a key twice", {where, "duplicate"}, sharded(extra, extra + "," + extra));
  refuse("X12 a key twice, escaped", {where, "duplicate"}, sharded(extra, extra + "," + replaced(extra, "e", "\\u0065")));
  refuse("X13 another case", {where, "there is"}, sharded(second + "\"", "diffusion_pytorch_model-00002-OF-00002.safetensors\""));
  refuse("X16 a shard of 0 bytes", {second}, [second](const Folder& f) {
    shard(f);
    f.replace("model/vae/" + second, "");
  });
  refuse("the index has a comment", {where}, sharded("{\"metadata\"", "/* x */{\"metadata\""));
  refuse("a listed tensor that the model needs is missing", {"decoder.conv_in.conv.weight"}, sharded("\"decoder.conv_in.conv.weight\"", "\"decoder.conv_in.conv.weight2\""));

  accept("X04 shards are links out of the folder", {}, [first](const Folder& f) {
    shard(f);
    f.file("blobs/0123", f.read("model/vae/" + first));
    f.remove("model/vae/" + first);
    f.link("../../blobs/0123", "model/vae/" + first);
  });
  accept("X07 a shard that the index does not list", {"x-unlisted"}, [](const Folder& f) {
    shard(f);
    f.replace(vae + "-x-unlisted.safetensors", one_tensor("more", "F32", "[1]", 4));
  });
  accept("X11 total_size is wrong", {"total_size"}, sharded("\"total_size\":", "\"total_size\":1"));
  accept("X11 total_size is a string", {}, sharded("\"total_size\":", "\"total_size\":\"x\",\"y\":"));
  accept("X11 no metadata", {}, sharded("\"metadata\":", "\"other\":"));
  accept("X15 a single file wins over the index", {"single file"}, [](const Folder& f) {
    f.own_model();
    f.replace(index_name, "{ this is not even JSON");
  });
  accept("an index with one unlisted tensor", {"extra.weight"}, sharded(extra + ",", ""));
  accept("every file is a link", {}, [](const Folder& f) {
    f.own_model();
    for (const char* name : {"model/model_index.json", "model/vae/config.json", "model/vae/diffusion_pytorch_model.safetensors", "model/tokenizer/spiece.model"}) {
      const std::string blob = "blobs/" + std::to_string(std::string(name).size()), bytes = f.read(name);
      f.file(blob, bytes);
      f.remove(name);
      f.link((f / blob).native(), name);
    }
  });
  accept("a component is a link", {}, [](const Folder& f) {
    f.own_model();
    std::filesystem::rename(f / "model/vae", f / "elsewhere");
    f.link("../elsewhere", "model/vae");
  });
  accept("more files and folders", {}, [](const Folder& f) {
    f.own_model();
    f.replace("model/README.md", "x");
    f.replace("model/.gitattributes", "x");
    f.replace("model/feature_extractor/preprocessor_config.json", "{");
    f.replace("model/vae/diffusion_pytorch_model.bin", "\x80\x02");
    f.replace("model/transformer/notes.txt", "x");
  });
  for (const char* name : {"a model", "modèle 漢字 🎬", "-model", "m'o\"d$e`l", "m\no\td"})
    cases.push_back({std::string("a model folder called ") + name, {0}, {}, {"tokenize", "--model=" + std::string(name), "--prompt", "x"}, [name = std::string(name)](const Folder& f) { f.link("model", name); }});
  cases.push_back({"a model folder with a slash behind", {0}, {}, {"tokenize", "--model", "model/", "--prompt", "x"}});
  cases.push_back({"a model folder with dots", {0}, {}, {"tokenize", "--model", "./model/../model/.", "--prompt", "x"}});

  // Weights against the configuration.
  const std::string norm = "\"transformer_blocks.0.norm1.linear.weight\":";
  refuse("K01 a weight is missing", {"patch_embed.proj.weight", "missing"}, header(transformer + ".safetensors", "\"patch_embed.proj.weight\"", "\"patch_embed.proj.weighu\""));
  refuse("K01 two weights are missing", {"patch_embed.proj.weight", "proj_out.bias"}, [](const Folder& f) {
    f.edit(transformer + ".safetensors", "\"patch_embed.proj.weight\"", "\"patch_embed.proj.weighu\"");
    f.edit(transformer + ".safetensors", "\"proj_out.bias\"", "\"proj_out.biat\"");
  });
  accept("K02 a weight more is named", {"lora_A.weight"}, with_tensor(transformer + ".safetensors", "transformer_blocks.0.attn1.to_q.lora_A.weight"));
  refuse("K03 shapes of another config", {"transformer", "patch_embed.proj"}, edit("model/transformer/config.json", "\"num_attention_heads\": 2", "\"num_attention_heads\": 4"));
  refuse("K03 one layer more", {"transformer_blocks.2"}, edit("model/transformer/config.json", "\"num_layers\": 2", "\"num_layers\": 3"));
  refuse("K03 a shape of another size", {"proj_out.weight", "[2, 2]"}, [](const Folder& f) {
    f.own_model();
    const std::string file = transformer + ".safetensors", bytes = f.read(file);
    const std::size_t at = bytes.find("\"proj_out.weight\""), open = bytes.find("\"shape\":[", at) + 8, close = bytes.find(']', open);
    f.replace(file, bytes.substr(0, open) + "[2,2]" + std::string(close + 1 - open - 5, ' ') + bytes.substr(close + 1));
  });
  // Weights of the text encoder, all of them, as integers or booleans: the right shapes, the wrong type.
  // Types that tensors can have are shown as kinema writes them.
  for (const auto& [type, shown] : std::initializer_list<std::pair<const char*, const char*>>{
           {"I8", "i8"}, {"I16", "I16"}, {"U16", "U16"}, {"I32", "i32"}, {"BOOL", "bool"}, {"F8_E4M3", "F8_E4M3"}, {"C64", "C64"}})
    refuse(std::string("K04 weights of ") + type, {"text_encoder", "shared.weight", shown}, [type = type](const Folder& f) {
      f.own_model();
      const std::string file = "model/text_encoder/model.safetensors", bytes = f.read(file);
      const std::size_t n = static_cast<unsigned char>(bytes[0]) | static_cast<std::size_t>(static_cast<unsigned char>(bytes[1])) << 8, element = sizes(type);
      std::string header = bytes.substr(8, n), out;
      const std::regex number(R"re("dtype":"BF16"|"data_offsets":\[(\d+),(\d+)\])re");
      std::size_t at = 0;
      for (std::sregex_iterator i(header.begin(), header.end(), number), end; i != end; ++i) {
        out += header.substr(at, static_cast<std::size_t>(i->position()) - at);
        out += i->str()[1] == 't' || !(*i)[1].matched ? "\"dtype\":\"" + std::string(type) + "\""
                                                      : "\"data_offsets\":[" + std::to_string(std::stoul((*i)[1]) / 2 * element) + "," + std::to_string(std::stoul((*i)[2]) / 2 * element) + "]";
        at = static_cast<std::size_t>(i->position() + i->length());
      }
      out += header.substr(at);
      f.replace(file, safetensors(out, std::string((bytes.size() - 8 - n) / 2 * element, '\0')));
    });
  refuse("K06 a decoder of T5", {"text_encoder"}, replace("model/text_encoder/model.safetensors", one_tensor("decoder.block.0.layer.0.SelfAttention.q.weight", "F32", "[4]", 16)));
  refuse("K07 SAT keys", {"transformer"}, replace(transformer + ".safetensors", one_tensor("model.diffusion_model.mixins.final_layer.linear.weight", "F32", "[4]", 16)));

  // model_index.json.
  const std::string index = "model/model_index.json";
  refuse("class of another pipeline", {"model_index.json", "_class_name", "FluxPipeline"}, edit(index, "CogVideoXPipeline", "FluxPipeline"));
  refuse("class missing", {"model_index.json", "_class_name"}, edit(index, "\"_class_name\"", "\"class_name\""));
  refuse("class is a number", {"model_index.json", "_class_name"}, edit(index, "\"CogVideoXPipeline\"", "1"));
  refuse("text encoder of another class", {"model_index.json", "BertModel"}, edit(index, "T5EncoderModel", "BertModel"));
  refuse("scheduler of another class", {"model_index.json", "EulerDiscreteScheduler"}, edit(index, "CogVideoXDDIMScheduler", "EulerDiscreteScheduler"));
  refuse("transformer of another class", {"model_index.json", "UNet"}, edit(index, "CogVideoXTransformer3DModel", "UNet2DConditionModel"));
  refuse("vae of another class", {"model_index.json", "AutoencoderKL\""}, edit(index, "AutoencoderKLCogVideoX", "AutoencoderKL"));
  refuse("tokenizer of another class", {"model_index.json", "BertTokenizer"}, edit(index, "T5Tokenizer", "BertTokenizer"));
  refuse("a component more", {"model_index.json", "/safety_checker"}, edit(index, "\"vae\"", "\"safety_checker\": [\"x\", \"Y\"], \"vae\""));
  refuse("a component is a string", {"model_index.json", "/vae"}, [](const Folder& f) {
    const std::string text = f.read("model/model_index.json");
    const std::size_t key = text.find("\"vae\""), open = text.find('[', key), close = text.find(']', key);
    f.replace("model/model_index.json", text.substr(0, open) + "\"AutoencoderKLCogVideoX\"" + text.substr(close + 1));
  });
  refuse("a component of three words", {"model_index.json", "/vae"}, edit(index, "\"AutoencoderKLCogVideoX\"", "\"AutoencoderKLCogVideoX\", \"x\""));
  refuse("image-to-video with weights of text-to-video", {"image-to-video", "in_channels"}, edit(index, "CogVideoXPipeline", "CogVideoXImageToVideoPipeline"));
  refuse("text-to-video with weights of image-to-video", {"text-to-video", "in_channels"}, [](const Folder& f) {
    f.own_model("i2v");
    f.remove("model");
    std::filesystem::rename(f / "i2v", f / "model");
    f.replace("model/model_index.json", replaced(f.read("model/model_index.json"), "CogVideoXImageToVideoPipeline", "CogVideoXPipeline"));
  });
  accept("a pipeline for videos from videos", {}, edit(index, "CogVideoXPipeline", "CogVideoXVideoToVideoPipeline"));
  accept("a component that is absent, [null, null]", {}, edit(index, "\"vae\"", "\"safety_checker\": [null, null], \"vae\""));
  accept("private fields and a version", {}, edit(index, "\"vae\"", "\"_diffusers_version\": \"0.30.0\", \"_name_or_path\": \"x\", \"requires_safety_checker\": false, \"vae\""));
  accept("the fast tokenizer", {}, edit(index, "T5Tokenizer", "T5TokenizerFast"));
  accept("the other scheduler", {}, [](const Folder& f) {
    f.edit("model/model_index.json", "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler");
    f.edit("model/scheduler/scheduler_config.json", "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler");
  });
}

}  // namespace bad_input
