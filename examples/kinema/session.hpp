// examples/kinema/session.hpp - what every computing command needs: context, pipeline, interruption.
#pragma once

#include "command_line.hpp"
#include "progress.hpp"

#include <kinema/model/cogvideox/pipeline.hpp>

namespace program {

/// Adds up what the ops of a context compute.
class WorkCounter : public kinema::Observer {
 public:
  double flops() const { return flops_; }

 private:
  void begin(std::string_view, kinema::Device, double flops) override { flops_ += flops; }
  void end(std::string_view, kinema::Device) override {}
  double flops_ = 0;
};

/// Holds the CPU context of a command and answers Ctrl-C.
class Session {
 public:
  /// Reads the common options strictly; nothing is opened yet.
  explicit Session(const Common& common);

  /// Opens and checks --model; prints its remarks as warnings.
  kinema::cogvideox::Pipeline open_pipeline() const;
  /// One thread for clips so small that handing out work costs more than it saves, unless --threads was given.
  void choose_threads(const kinema::cogvideox::PipelineConfig& config, const kinema::cogvideox::ClipSize& size);
  int threads() const { return context_.threads; }
  /// Callbacks that drive `progress`.
  kinema::cogvideox::Callbacks callbacks(Progress& progress) const;
  /// Requested by Ctrl-C.
  kinema::Stop stop() const;
 private:
  std::string model_;
  WorkCounter work_;
  kinema::CpuContext context_;
  kinema::CpuScope scope_;
  bool threads_given_;
  std::optional<kinema::DType> dtype_;
};

/// Exit 2 if the kind of model does not take the inputs that were given.
void refuse_wrong_inputs(const kinema::cogvideox::PipelineConfig& config, bool image, bool video);

/// A warning that quotes the words behind the length limit, if there are any.
void warn_about_lost_words(const char* flag, const kinema::text::Tokens& tokens);

}  // namespace program
