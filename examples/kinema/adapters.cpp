// examples/kinema/adapters.cpp - adapters are read, compared with their recipe and matched before a weight is loaded.
#include "adapters.hpp"

#include "arguments.hpp"
#include "progress.hpp"

#include <kinema/io/sha256.hpp>
#include <kinema/model/cogvideox/lora.hpp>
#include <kinema/model/cogvideox/transformer.hpp>
#include <kinema/op/layout.hpp>

namespace program {
namespace {

using namespace kinema;

constexpr double largest_weight = 1000;

LoraFile named_lora(const std::string& word) {
  const std::size_t colon = word.rfind(':');
  const std::string tail = colon == std::string::npos ? "" : word.substr(colon + 1);
  // A colon may be part of a path: the weight is what stands behind the last one, if that is not a path's end.
  const bool weighted = colon != std::string::npos && tail.find('/') == std::string::npos && tail.find(".safetensors") == std::string::npos;
  LoraFile file{{weighted ? word.substr(0, colon) : word, ""}, weighted ? number("--lora: the weight behind the colon", tail, -largest_weight, largest_weight) : 1.0};
  if (!file) usage_error("--lora: must name a file, got \"", printable(word), "\"");
  return file;
}

std::string digest_of(const nn::Lora& lora) {
  io::Sha256 sum;
  for (const auto& [module, u] : lora.updates)
    for (const Tensor<>& t : {u.down, u.up}) {
      const Tensor<> dense = op::contiguous(t);
      sum.add(cat(module, to_string(dense))).add(dense.ref().data, dense.bytes());
    }
  return sum.hex();
}

std::string listed(const std::vector<std::string>& modules) {
  std::string out;
  for (std::size_t i = 0; i < modules.size() && i < 3; ++i) out += cat(i ? ", " : "", printable(modules[i]));
  return modules.size() > 3 ? out + ", …" : out;
}

}  // namespace

std::vector<LoraFile> named_loras(const std::vector<std::string>& words) {
  std::vector<LoraFile> files;
  for (const std::string& word : words) files.push_back(named_lora(word));
  return files;
}

bool same_loras(const std::vector<LoraFile>& a, const std::vector<LoraFile>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const LoraFile& x, const LoraFile& y) { return x.weight == y.weight && whole_path(x.path) == whole_path(y.path); });
}

std::vector<nn::Lora> read_loras(std::vector<LoraFile>& files, const cogvideox::TransformerConfig& config) {
  std::vector<nn::Lora> loras;
  if (files.empty()) return loras;
  cogvideox::Transformer shapes(config);
  for (LoraFile& file : files) {
    nn::LoraReading reading = cogvideox::read_lora(file.path, file.weight);
    for (const std::string& remark : reading.remarks) warn(remark);
    const nn::LoraMatch match = nn::match_lora(shapes, reading.lora);
    if (!match.unmatched.empty())
      warn(cat(printable(file.path, 4096), ": ", match.matched, " of ", match.matched + match.unmatched.size(), " modules are in this model; unused: ", listed(match.unmatched)));
    const std::string found = digest_of(reading.lora);
    if (!file.values_sha256.empty() && file.values_sha256 != found)
      throw Failure(ExitCode::file, cat(printable(file.path, 4096), ": is not what the recipe was made with (SHA-256 of its values is ", found.substr(0, 12), "…, was ",
                                        printable(file.values_sha256.substr(0, 12)), "…)"));
    static_cast<InputFile&>(file) = {whole_path(file.path), found};
    loras.push_back(std::move(reading.lora));
  }
  return loras;
}

cogvideox::Adapters adapters_of(const std::vector<nn::Lora>& loras, bool merged) {
  cogvideox::Adapters a;
  for (const nn::Lora& lora : loras)
    for (const auto& [module, u] : lora.updates) {
      if (merged) a.merged.push_back(module + ".weight");
      else a.factors += static_cast<double>(u.down.bytes() + u.up.bytes());
    }
  return a;
}

}  // namespace program
