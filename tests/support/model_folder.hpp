// tests/support/model_folder.hpp - writes the model folders of the golden pipelines, weights from the filler.
#pragma once

#include "support/golden.hpp"

#include <kinema/io/checkpoint.hpp>

#include <unistd.h>

namespace kinema::test {

/// A folder that disappears with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "kinema-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_json(io::JsonWriter& to, const io::Json& from) {
  switch (from.kind()) {
    case io::JsonKind::null: to.null(); return;
    case io::JsonKind::boolean: to.value(from.as_boolean()); return;
    case io::JsonKind::integer: to.value(from.as_integer()); return;
    case io::JsonKind::string: to.value(from.as_string()); return;
    case io::JsonKind::array:
      to.begin_array();
      for (std::size_t i = 0; i < from.size(); ++i) write_json(to, from.at(i));
      to.end();
      return;
    case io::JsonKind::object:
      to.begin_object();
      for (const std::string& key : from.keys()) {
        to.key(key);
        write_json(to, from.at(key));
      }
      to.end();
      return;
    default: to.value(from.as_number()); return;
  }
}

/// Writes the pipeline of a golden case as a published model folder.
inline void write_model_folder(const GoldenCase& golden, const std::filesystem::path& folder, DType dtype = DType::f32) {
  const io::Json files = golden.json.at("folder"), weights = golden.json.at("weights");
  for (const std::string& name : files.keys()) {
    std::filesystem::create_directories((folder / name).parent_path());
    io::JsonWriter text;
    write_json(text, files.at(name));
    io::write_file(folder / name, text.text());
  }
  std::filesystem::create_directories(folder / "tokenizer");
  std::filesystem::copy_file(std::filesystem::path(KINEMA_GOLDEN_DIR) / "tokenizer" / "spiece.model", folder / "tokenizer" / "spiece.model");
  for (const std::string& component : weights.keys()) {
    const io::Json shapes = weights.at(component);
    std::map<std::string, Tensor<>> tensors;
    for (const std::string& key : shapes.keys()) tensors.emplace(key, filled_parameter(key, GoldenCase::shape_of(shapes.integers(key)), dtype));
    const char* base = component == "text_encoder" ? "model.safetensors" : "diffusion_pytorch_model.safetensors";
    io::write_safetensors(folder / component / base, tensors, {{"format", "pt"}});
  }
}

}  // namespace kinema::test
