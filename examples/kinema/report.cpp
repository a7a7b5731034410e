// examples/kinema/report.cpp - the report of a command as JSON.
#include "report.hpp"

#include "arguments.hpp"
#include "program.hpp"

#include <kinema/io/sha256.hpp>
#include <kinema/runtime/devices.hpp>

#include <filesystem>

namespace program {

using namespace kinema;

namespace {

std::string digest(const io::MappedFile& file, const Stop& stop) {
  const std::span<const unsigned char> bytes = file.bytes();
  constexpr std::size_t piece = std::size_t{16} << 20;
  io::Sha256 all;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    stop.check();
    const std::size_t n = std::min(piece, bytes.size() - at);
    all.add(bytes.subspan(at, n));
    file.forget(at, at + n);  // or the whole file would count as this process's memory
  }
  return all.hex();
}

}  // namespace

void Report::check(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".json") usage_error("--report: must end in .json, got \"", printable(path, 4096), "\"");
  io::check_destination(path);
}

Report::Report(const std::string& path, const cogvideox::ModelFolder& model, const Stop& stop, Progress& progress) : path_(path) {
  progress.stage("digest");
  for (const io::Checkpoint* component : {&model.text_weights(), &model.transformer_weights(), &model.vae_weights()})
    for (const io::Safetensors& file : component->shards())
      weights_.push_back({whole_path(file.file().path().native()), digest(file.file(), stop), file.file().bytes().size()});
}

void Report::write(const std::vector<Job>& jobs, const Progress& progress, int threads) {
  const DeviceDescription cpu = list_devices().front();
  io::JsonWriter out;
  out.begin_object();
  for (const auto& [name, text] : build_facts()) out.field(name, text);
  out.field("device", cat(cpu.device, ", ", cpu.text)).field("threads", threads);
  out.key("videos").begin_array();
  for (const Job& job : jobs) {
    std::vector<std::string> files;
    for (const std::string& file : job.results) files.push_back(whole_path(file));
    out.begin_object().field("prompt", job.recipe.request.prompt).field("seed", job.recipe.request.seed).field("files", files).end();
  }
  out.end().key("stages").begin_array();
  for (const StageTotal& stage : progress.stages()) {
    out.begin_object().field("name", stage.name).field("seconds", stage.seconds).field("steps", stage.steps);
    out.field("flop", stage.flops).field("flop_per_second", stage.seconds > 0 ? stage.flops / stage.seconds : 0.0).end();
  }
  out.end().field("seconds", progress.seconds()).field("peak_memory_bytes", peak_memory());
  out.key("weights").begin_array();
  for (const Weights& w : weights_) out.begin_object().field("path", w.path).field("bytes", w.bytes).field("sha256", w.sha256).end();
  io::write_file(path_, out.end().end().text() + "\n");
}

}  // namespace program
