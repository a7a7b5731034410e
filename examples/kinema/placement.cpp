// examples/kinema/placement.cpp - a run is planned and made to fit into memory before it begins.
#include "placement.hpp"

#include "progress.hpp"

#include <kinema/io/json.hpp>

#include <cstdio>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

namespace program {
namespace {

using namespace kinema;

/// Bytes that this process may still take: free memory, the control group's limit and the address-space limit.
double available_memory() {
  double available = 1e18;
  std::ifstream info("/proc/meminfo");
  for (std::string name; info >> name;) {
    double kib = 0;
    info >> kib;
    if (name == "MemAvailable:") available = kib * 1024;
    info.ignore(64, '\n');
  }
  const auto number_in = [](const char* path) {
    std::ifstream file(path);
    double v = -1;
    return file >> v ? v : -1.0;
  };
  const double limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit > 0 && used >= 0) available = std::min(available, limit - used);
  return available;
}

double address_space_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1e18;
  return static_cast<double>(limit.rlim_cur);
}

/// Bytes that this process holds now: program, libraries, configurations.
double resident_memory() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  return file >> all >> resident ? resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) : 0;
}
double address_space() {
  std::ifstream file("/proc/self/statm");
  double all = 0;
  return file >> all ? all * static_cast<double>(::sysconf(_SC_PAGESIZE)) : 0;
}

bool tiles_fit(const cogvideox::PipelineConfig& config, const cogvideox::VaeTile& tile, std::int64_t height, std::int64_t width) {
  try {
    cogvideox::Vae(config.vae).check_tile(tile, height, width);
    return true;
  } catch (const ArgumentError&) {
    return false;
  }
}

enum class Choice { automatic, on, off };
Choice choice_of(const char* flag, const std::string& word) {
  return choice<Choice>(flag, word, {{"auto", Choice::automatic}, {"on", Choice::on}, {"off", Choice::off}});
}

/// The tile that the options name; sizes of 0 are the reference's.
cogvideox::VaeTile named_tile(const TilingOptions& options) {
  cogvideox::VaeTile tile;
  if (!options.tile_size) return tile;
  const std::string_view text = *options.tile_size;
  const std::size_t x = text.find('x');
  const auto height = whole_number(text.substr(0, x)), width = x == std::string_view::npos ? height : whole_number(text.substr(x + 1));
  if (!height || !width || *height < 1 || *width < 1 || *height > cogvideox::max_side || *width > cogvideox::max_side)
    bad_value("--vae-tile-size", text, "N or HxW, integers from 1 to ", cogvideox::max_side);
  tile.height = *height;
  tile.width = *width;
  return tile;
}

/// Tiles from the reference's size downwards: the half, the third and so on of it, rounded so that the reference's
/// overlaps of a sixth and a fifth are whole latents; only those that cut this picture.
std::vector<cogvideox::VaeTile> smaller_tiles(const cogvideox::PipelineConfig& config, const cogvideox::ClipSize& size) {
  std::vector<cogvideox::VaeTile> tiles;
  const std::int64_t f = config.factors().space, height = config.vae.sample_height / 2, width = config.vae.sample_width / 2;
  for (std::int64_t part = 1; part <= 6; ++part) {
    cogvideox::VaeTile tile;
    tile.height = part == 1 ? height : height / part / (6 * f) * (6 * f);
    tile.width = part == 1 ? width : width / part / (5 * f) * (5 * f);
    if (tile.height > 0 && tile.width > 0 && tiles_fit(config, tile, size.height, size.width)) tiles.push_back(tile);
  }
  return tiles;
}

/// What memory a plan may take, and whether mapped weights count.
struct Budget {
  double bytes = 0, base = 0;
  bool counts_mapped = false;
  double need(const cogvideox::StagePlan& stage) const { return stage.bytes() - (counts_mapped ? 0 : stage.mapped); }
  bool holds(const cogvideox::StagePlan& stage) const { return base + need(stage) <= bytes; }
  const cogvideox::StagePlan* first_too_large(const cogvideox::Plan& plan) const {
    for (const cogvideox::StagePlan& s : plan.stages)
      if (!holds(s)) return &s;
    return nullptr;
  }
};

bool uses_vae(const cogvideox::StagePlan& stage) { return stage.name == "encode" || stage.name == "decode"; }

/// The most frames that fit, or 0.
std::int64_t fitting_frames(const PlannedModel& model, const cogvideox::PlanRequest& ask, const Budget& budget) {
  const cogvideox::PipelineConfig& c = model.config;
  if (c.transformer.use_learned_positional_embeddings || ask.encoded_frames > 1 || !ask.denoise) return 0;
  for (std::int64_t frames = (ask.size.frames - 2) / 8 * 8 + 1; frames >= 1; frames -= std::max<std::int64_t>(8, frames / 8 / 8 * 8)) {
    cogvideox::PlanRequest less = ask;
    less.size = cogvideox::clip_size(c.factors(), frames, ask.size.height, ask.size.width);
    if (!budget.first_too_large(cogvideox::plan(c, less, model.stored))) return frames;
  }
  return 0;
}

[[noreturn]] void refuse(const PlannedModel& model, const cogvideox::PlanRequest& ask, const cogvideox::Plan& plan, const Budget& budget, bool limited) {
  const cogvideox::StagePlan& stage = *std::max_element(plan.stages.begin(), plan.stages.end(), [&](const auto& a, const auto& b) { return budget.need(a) < budget.need(b); });
  const double need = budget.base + budget.need(stage);
  std::string message = cat("memory: ", stage.name, " needs ", bytes_text(need), " (of which the program itself holds ", bytes_text(budget.base), "), ",
                            limited ? "--max-ram allows " : "free are ", bytes_text(budget.bytes), "; what would fit: ");
  cogvideox::PlanRequest smaller = ask;
  smaller.quantized = true, smaller.streamed = false;
  if (!ask.quantized && (ask.texts || ask.denoise) && !budget.first_too_large(cogvideox::plan(model.config, smaller, model.stored))) message += "--weights int8, or ";
  if (const std::int64_t frames = fitting_frames(model, ask, budget)) message += cat("--num-frames ", frames, limited ? ", or " : "");
  else if (!limited) message += "a smaller --height and --width";
  if (limited) message += cat("--max-ram ", static_cast<std::int64_t>(need / 1048576.0) + 1, "MiB");
  throw Failure(ExitCode::memory, message);
}

std::string flops_text(double n) {
  static constexpr const char* units[] = {"", " K", " M", " G", " T", " P", " E"};
  int i = 0;
  for (; n >= 1000 && i < 6; n /= 1000) ++i;
  char text[32];
  std::snprintf(text, sizeof text, "%.3g%sFLOP", n, i ? units[i] : " ");
  return text;
}

}  // namespace

PlannedModel::PlannedModel(const cogvideox::Pipeline& pipeline)
    : config(pipeline.config()), stored(cogvideox::stored_in(pipeline.folder())), can_stream(pipeline.streams()),
      stored_bytes(static_cast<double>(pipeline.folder().text_weights().tensor_bytes() + pipeline.folder().transformer_weights().tensor_bytes() +
                                       pipeline.folder().vae_weights().tensor_bytes())) {}

PlannedModel::PlannedModel(const cogvideox::PipelineConfig& c, DType type, DType dtype)
    : config(c), stored([type](const std::string&, const std::string&) { return type; }), can_stream(dtype == DType::f32 || dtype == type) {}

cogvideox::Plan place(const PlannedModel& model, cogvideox::PlanRequest& ask, const TilingOptions& tiling, const MemoryOptions& memory, bool tile_fixed) {
  const cogvideox::PipelineConfig& config = model.config;
  const std::optional<double> limit = memory.limit();
  const Choice tiles = choice_of("--vae-tiling", tiling.tiling.value_or(tiling.tile_size ? "on" : "auto"));
  const Choice stream = choice_of("--stream-weights", memory.stream.value_or("auto"));
  const bool tiles_open = !tile_fixed && tiles == Choice::automatic;
  if (!tile_fixed) {
    const cogvideox::VaeTile tile = named_tile(tiling);
    if (tiles == Choice::on) {
      try {
        cogvideox::Vae(config.vae).check_tile(tile, ask.size.height, ask.size.width);
      } catch (const ArgumentError& e) {
        usage_error("--vae-tile-size: ", e.what(), tiling.tile_size ? cat(", got \"", printable(*tiling.tile_size), "\"") : "");
      }
      ask.tile = tile;
    } else {
      ask.tile.reset();
    }
  }
  const bool can_stream = model.can_stream && !ask.quantized;
  if (stream == Choice::on && ask.quantized) usage_error("--stream-weights: --weights int8 is made at load and cannot stay in the file; take one of the two");
  if (stream == Choice::on && !can_stream) usage_error("--stream-weights: these weights are stored in another type than the run's and are rounded at load; use --dtype auto or f32");
  ask.streamed = stream == Choice::on;

  const double base = resident_memory();
  const Budget budget{limit ? *limit : base + available_memory(), base, limit.has_value()};
  cogvideox::Plan plan = cogvideox::plan(config, ask, model.stored);
  const auto vae_fits = [&] { return std::all_of(plan.stages.begin(), plan.stages.end(), [&](const auto& s) { return !uses_vae(s) || budget.holds(s); }); };
  const auto models_fit = [&] { return std::all_of(plan.stages.begin(), plan.stages.end(), [&](const auto& s) { return uses_vae(s) || budget.holds(s); }); };
  if (tiles_open && !vae_fits()) {
    // Untiled equals what the reference computes by default; tiles only where it would not fit.
    for (const cogvideox::VaeTile& tile : smaller_tiles(config, ask.size)) {
      ask.tile = tile;
      plan = cogvideox::plan(config, ask, model.stored);
      if (vae_fits()) break;
    }
    if (ask.tile && vae_fits())
      warn(cat("memory is short for whole pictures: the VAE runs in tiles of ", ask.tile->height, "x", ask.tile->width, " (--vae-tiling off forbids it)"));
  }
  if (limit && stream == Choice::automatic && can_stream && !models_fit()) {
    ask.streamed = true;
    plan = cogvideox::plan(config, ask, model.stored);
    if (models_fit()) warn("--max-ram is less than the weights need: they are read block by block (--stream-weights off forbids it)");
  }
  if (budget.first_too_large(plan)) refuse(model, ask, plan, budget, limit.has_value());
  const double space = address_space() + model.stored_bytes + budget.need(plan.largest()), space_limit = address_space_limit();
  if (space > space_limit)
    throw Failure(ExitCode::memory, cat("memory: ", bytes_text(space), " of address space are needed, the limit (ulimit -v) is ", bytes_text(space_limit)));
  return plan;
}

std::string plan_text(const PlannedModel& model, const cogvideox::PlanRequest& ask, const cogvideox::Plan& plan) {
  const double base = resident_memory();
  std::string out = ask.size.frames == 0 ? cat(ask.dtype, ", ", ask.threads, ask.threads == 1 ? " thread" : " threads", ask.quantized ? ", weights int8" : ask.streamed ? ", weights streamed" : "", "\n")
                                         : cat(ask.size.frames, " frames of ", ask.size.height, "x", ask.size.width, " (height x width), ", ask.steps, " steps", ask.guided ? ", guided" : "", ", ", ask.dtype, ", ",
                        ask.threads, ask.threads == 1 ? " thread" : " threads", ask.tile ? ", VAE in tiles" : "", ask.quantized ? ", weights int8" : ask.streamed ? ", weights streamed" : "", "\n");
  const auto row = [&](const std::string& name, const std::string& a, const std::string& b, const std::string& c, const std::string& d, const std::string& e) {
    char line[160];
    std::snprintf(line, sizeof line, "  %-9s %12s %12s %12s %12s %14s\n", name.c_str(), a.c_str(), b.c_str(), c.c_str(), d.c_str(), e.c_str());
    out += line;
  };
  row("stage", "weights", "activations", "scratch", "memory", "work");
  row("program", "", "", "", bytes_text(base), "");
  double flops = 0;
  for (const cogvideox::StagePlan& s : plan.stages) {
    row(s.name, bytes_text(s.weights), bytes_text(s.activations + s.slack), bytes_text(s.scratch), bytes_text(s.bytes()), flops_text(s.flops));
    flops += s.flops;
  }
  row("peak", "", "", "", bytes_text(base + plan.largest().bytes()), flops_text(flops));
  if (model.stored_bytes == 0) out += "  without weight files: types as they are published\n";
  return out;
}

std::string plan_json(const PlannedModel& model, const cogvideox::PlanRequest& ask, const cogvideox::Plan& plan) {
  io::JsonWriter j;
  const double base = resident_memory();
  const auto bytes = [](double n) { return static_cast<std::int64_t>(n); };
  j.begin_object().field("num_frames", ask.size.frames).field("height", ask.size.height).field("width", ask.size.width).field("steps", ask.steps);
  j.field("guided", ask.guided).field("dtype", to_string(ask.dtype)).field("threads", static_cast<std::int64_t>(ask.threads)).field("tiled", ask.tile.has_value());
  j.field("quantized", ask.quantized).field("streamed", ask.streamed).field("weight_files", model.stored_bytes != 0).field("program_bytes", bytes(base));
  for (const cogvideox::StagePlan& s : plan.stages) {
    j.key(s.name).begin_object().field("weight_bytes", bytes(s.weights)).field("activation_bytes", bytes(s.activations + s.slack)).field("scratch_bytes", bytes(s.scratch));
    j.field("bytes", bytes(s.bytes())).field("flops", s.flops).end();
  }
  j.field("peak_bytes", bytes(base + plan.largest().bytes()));
  return j.end().text() + "\n";
}

}  // namespace program
