// examples/kinema/session.cpp - context, pipeline, interruption and the memory check of a command.
#include "session.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>

namespace program {
namespace {

using namespace kinema;

volatile std::sig_atomic_t interrupt_requested = 0;

void on_interrupt(int signal) {
  interrupt_requested = 1;
  std::signal(signal, SIG_DFL);  // the second Ctrl-C ends the process at once
}

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

double stored_bytes(const TensorSource& weights) {
  double bytes = 0;
  for (const std::string& name : weights.names()) bytes += static_cast<double>(weights.shape(name).numel()) * static_cast<double>(size_of(weights.dtype(name)));
  return bytes;
}

/// Lower bound of what the largest stage needs besides mapped weights: buffers that certainly exist at the same time.
double working_bytes(const cogvideox::PipelineConfig& c, const cogvideox::ClipSize& size, bool guided, bool tiled) {
  const double f = static_cast<double>(size.latent_frames), h = static_cast<double>(size.latent_height), w = static_cast<double>(size.latent_width);
  const double patch = static_cast<double>(c.transformer.patch_size * c.transformer.patch_size * c.transformer.temporal_patch());
  const double tokens = f * h * w / patch + static_cast<double>(c.transformer.max_text_seq_length);
  // Residual stream, modulated copy, queries, keys, values, their packed forms and the result: 8 widths of f32 per token.
  const double denoise = (guided ? 2 : 1) * tokens * static_cast<double>(c.transformer.width()) * 8 * 4;
  // Two full-resolution activations of the widest last level, 8 frames.
  const double space = static_cast<double>(c.factors().space);
  const double pixels = tiled ? 0 : std::min(4 * f, 8.0) * h * space * w * space;
  const double decode = pixels * static_cast<double>(c.vae.block_out_channels.front()) * 2 * 4;
  return std::max(denoise, decode);
}

bool tiles_fit(const cogvideox::PipelineConfig& config, const cogvideox::VaeTile& tile, std::int64_t height, std::int64_t width) {
  try {
    cogvideox::Vae(config.vae).check_tile(tile, height, width);
    return true;
  } catch (const ArgumentError&) {
    return false;
  }
}

}  // namespace

Session::Session(const Common& common)
    : model_(common.model_folder()), context_(common.thread_count()), scope_(context_), threads_given_(common.threads.has_value()), dtype_(common.compute_dtype()) {
  common.compute_device();
  context_.observer = &work_;
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
}

cogvideox::Pipeline Session::open_pipeline() const {
  cogvideox::Pipeline pipeline = cogvideox::Pipeline::load(model_, dtype_);
  for (const std::string& remark : pipeline.folder().remarks()) warn(remark);
  return pipeline;
}

void Session::choose_threads(const cogvideox::PipelineConfig& config, const cogvideox::ClipSize& size) {
  if (threads_given_) return;
  const double factor = static_cast<double>(config.factors().patch * config.factors().patch * config.factors().temporal_patch);
  const double tokens = static_cast<double>(size.latent_frames * size.latent_height * size.latent_width) / factor + static_cast<double>(config.transformer.max_text_seq_length);
  const double width = static_cast<double>(config.transformer.width());
  constexpr double worth_threads = 1e9;  // multiply-adds of one forward pass: some ten milliseconds on one core
  if (12 * static_cast<double>(config.transformer.num_layers) * width * width * tokens < worth_threads) context_.threads = 1;
}

cogvideox::Callbacks Session::callbacks(Progress& progress) const {
  progress.count_work([this] { return work_.flops(); });
  cogvideox::Callbacks callbacks;
  callbacks.on_stage = [&progress](std::string_view name, std::int64_t steps) { progress.stage(std::string(name), steps); };
  callbacks.on_step = [&progress](std::int64_t done) { progress.step(done); };
  return callbacks;
}

Stop Session::stop() const {
  return [] { return interrupt_requested != 0; };
}

std::optional<cogvideox::VaeTile> Session::tile_for(const TilingOptions& options, const cogvideox::PipelineConfig& config, std::int64_t height,
                                                    std::int64_t width, std::int64_t latent_frames) const {
  enum class Tiling { automatic, on, off };
  Tiling how = choice<Tiling>("--vae-tiling", options.tiling.value_or(options.tile_size ? "on" : "auto"),
                              {{"auto", Tiling::automatic}, {"on", Tiling::on}, {"off", Tiling::off}});
  cogvideox::VaeTile tile;
  if (options.tile_size) {
    const std::string& text = *options.tile_size;
    const std::size_t x = text.find('x');
    tile.height = integer("--vae-tile-size", std::string_view(text).substr(0, x), 1, cogvideox::max_side);
    tile.width = x == std::string::npos ? tile.height : integer("--vae-tile-size", std::string_view(text).substr(x + 1), 1, cogvideox::max_side);
  }
  if (how == Tiling::automatic) {
    // Untiled equals what the reference computes by default; tiles only where it would not fit.
    const cogvideox::Factors k = config.factors();
    const cogvideox::ClipSize size{0, height, width, latent_frames, height / k.space, width / k.space, 0, 0};
    how = working_bytes(config, size, false, false) > 0.8 * available_memory() && tiles_fit(config, tile, height, width) ? Tiling::on : Tiling::off;
    if (how == Tiling::on) warn("memory is short for the whole picture: the VAE runs in tiles (--vae-tiling off forbids it)");
  }
  if (how == Tiling::off) return std::nullopt;
  try {
    cogvideox::Vae(config.vae).check_tile(tile, height, width);
  } catch (const ArgumentError& e) {
    usage_error("--vae-tile-size: ", e.what());
  }
  return tile;
}

void Session::require_memory(const cogvideox::Pipeline& pipeline, const cogvideox::ClipSize& size, bool guided, const std::optional<cogvideox::VaeTile>& tile) const {
  const double need = working_bytes(pipeline.config(), size, guided, tile.has_value()), have = available_memory();
  if (need > have)
    throw Failure(ExitCode::memory, cat("memory: ", size.frames, " frames of ", size.height, "x", size.width, " need at least ", bytes_text(need), ", ", bytes_text(have),
                                        " are free; use fewer frames, a smaller size", tile ? "" : " or --vae-tiling on"));
  const double weights = std::max({stored_bytes(pipeline.folder().text_weights()), stored_bytes(pipeline.folder().transformer_weights())});
  const double address_space = need + weights, limit = address_space_limit();
  if (address_space > limit)
    throw Failure(ExitCode::memory, cat("memory: at least ", bytes_text(address_space), " of address space are needed, the limit (ulimit -v) is ", bytes_text(limit)));
}

void refuse_wrong_inputs(const cogvideox::PipelineConfig& config, bool image, bool video) {
  if (config.image_to_video && video) usage_error("--init-video: this is an image-to-video model, it takes --init-image");
  if (config.image_to_video && !image) usage_error("--init-image: is required, this is an image-to-video model");
  if (!config.image_to_video && image) usage_error("--init-image: this is a text-to-video model, it takes no image");
}

void warn_about_lost_words(const char* flag, const text::Tokens& tokens) {
  if (!tokens.lost.empty()) warn(cat(flag, ": longer than ", tokens.ids.size(), " tokens; lost: \"", printable(tokens.lost, 1000), "\""));
}

}  // namespace program
