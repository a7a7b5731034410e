// kinema/model/cogvideox/run_file.hpp - a denoising on disk: written between two steps, continued in another process.
//
// One safetensors file. Its tensor `latents` reads like any stored latents; metadata says how far the run is, and a digest
// over everything finds damage that the format alone cannot see.
#pragma once

#include <kinema/io/safetensors.hpp>
#include <kinema/io/sha256.hpp>
#include <kinema/model/cogvideox/request.hpp>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// A stored denoising.
struct RunFile {
  Denoising state;
  std::string document;  ///< what the caller stored with it, such as the request
};

namespace detail {

inline constexpr int run_file_version = 1;

inline std::string digest_of(const std::map<std::string, Tensor<>>& tensors, std::string_view run, std::string_view document) {
  io::Sha256 all;
  const auto add = [&](std::string_view text) { all.add(static_cast<std::uint64_t>(text.size())).add(text); };
  add(run);
  add(document);
  for (const auto& [name, t] : tensors) {
    add(name);
    add(to_string(t));
    all.add(t.ref().data, t.bytes());
  }
  return all.hex();
}

}  // namespace detail

/// Writes the file, atomically: an older one stays whole until the new one is on the disk. `surplus` as in ClipSize, for
/// those who read the latents alone; `document` is UTF-8. Throws IoError.
inline void write_run(const std::filesystem::path& path, const Denoising& state, std::int64_t surplus, const std::string& document) {
  std::map<std::string, Tensor<>> tensors{{"latents", op::contiguous(state.latents)}, {"text", op::contiguous(state.text)}};
  if (state.image_latents) tensors["image_latents"] = op::contiguous(state.image_latents);
  if (state.sampler.clean) tensors["sampler.clean"] = op::contiguous(state.sampler.clean);
  std::vector<std::int64_t> random;
  for (const std::uint64_t word : state.random) random.push_back(static_cast<std::int64_t>(word));
  tensors["random"] = tensor_of(random, {static_cast<std::int64_t>(random.size())});
  io::JsonWriter run(false);
  run.begin_object().field("version", detail::run_file_version).field("skipped", state.skipped).field("done", state.done).field("sampler_t", state.sampler.t).end();
  io::write_safetensors(path, tensors,
                        {{"format", "pt"}, {"layout", "pipeline"}, {"surplus_frames", std::to_string(surplus)}, {"kinema_run", run.text()},
                         {"kinema", document}, {"sha256", detail::digest_of(tensors, run.text(), document)}});
}

/// Throws IoError for a file that is no whole safetensors file, CheckpointError or ConfigError for one that holds no run or
/// a damaged one, with its name. Whether the run fits a model and a request, Pipeline::check() says.
inline RunFile read_run(const std::filesystem::path& path) {
  const io::Safetensors file(path);
  const std::string where = file.description();
  const auto text = [&](const char* key) -> const std::string& {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) throw CheckpointError(cat(where, ": holds no unfinished run: its metadata has no \"", key, "\""));
    return found->second;
  };
  const std::string &run_text = text("kinema_run"), &document = text("kinema"), &digest = text("sha256");
  const io::Json run = io::Json::parse(run_text, cat(where, ": kinema_run"));
  if (run.integer("version") != detail::run_file_version)
    run.at("version").fail(cat("this program reads version ", detail::run_file_version, ", got ", run.integer("version")));

  std::map<std::string, Tensor<>> tensors;
  for (const std::string& name : file.names()) {
    const Tensor<> mapped = file.get(name);
    Tensor<> copy = empty(mapped.shape(), mapped.dtype());  // the file is about to be replaced
    std::memcpy(copy.ref().data, mapped.ref().data, mapped.bytes());
    tensors[name] = copy;
  }
  if (detail::digest_of(tensors, run_text, document) != digest) throw CheckpointError(cat(where, ": is damaged: its content does not match its sha256"));
  const auto take = [&](const char* name, bool needed) {
    const auto found = tensors.find(name);
    if (found != tensors.end()) return found->second;
    if (needed) throw CheckpointError(cat(where, ": holds no unfinished run: no tensor \"", name, "\""));
    return Tensor<>();
  };
  RunFile stored{{run.integer("skipped"), run.integer("done"), take("latents", true), take("text", true), take("image_latents", false),
                  {take("sampler.clean", false), run.optional_integer("sampler_t")}, {}}, document};
  const Tensor<> random = take("random", true);
  if (random.dtype() != DType::i64 || random.rank() != 1) throw CheckpointError(cat(where, ": random must be i64 of one axis, got ", to_string(random)));
  for (std::int64_t i = 0; i < random.numel(); ++i) stored.state.random.push_back(static_cast<std::uint64_t>(random.data<std::int64_t>()[i]));
  return stored;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
