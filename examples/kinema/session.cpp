// examples/kinema/session.cpp - context, pipeline and interruption of a command.
#include "session.hpp"

#include <csignal>
#include <cstdio>

namespace program {
namespace {

using namespace kinema;

volatile std::sig_atomic_t interrupt_requested = 0;

void on_interrupt(int signal) {
  interrupt_requested = 1;
  std::signal(signal, SIG_DFL);  // the second Ctrl-C ends the process at once
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

void refuse_wrong_inputs(const cogvideox::PipelineConfig& config, bool image, bool video) {
  if (config.image_to_video && video) usage_error("--init-video: this is an image-to-video model, it takes --init-image");
  if (config.image_to_video && !image) usage_error("--init-image: is required, this is an image-to-video model");
  if (!config.image_to_video && image) usage_error("--init-image: this is a text-to-video model, it takes no image");
}

void warn_about_lost_words(const char* flag, const text::Tokens& tokens) {
  if (!tokens.lost.empty()) warn(cat(flag, ": longer than ", tokens.ids.size(), " tokens; lost: \"", printable(tokens.lost, 1000), "\""));
}

}  // namespace program
