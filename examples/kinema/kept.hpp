// examples/kinema/kept.hpp - what a failed run leaves on disk so that no work is lost, and the words that say how to go on.
#pragma once

#include <kinema/model/cogvideox/request.hpp>

#include <string>
#include <vector>

namespace program {

/// A name beside `output` that nothing has yet: v.mp4, "latents" → v.latents.safetensors, then v.latents-2.safetensors …
std::string free_name(const std::string& output, const std::string& kind);

/// Words as a shell reads them back.
std::string shell_text(const std::vector<std::string>& words);

/// The work on one video, kept until the video is there: first as an unfinished run, then as latents to decode. Older files
/// of the same names are left alone.
class Kept {
 public:
  /// `run`: the file that an unfinished run of so many steps was read from, or "".
  explicit Kept(std::string output, std::string run = "", std::int64_t steps = 0) : output_(std::move(output)), run_(std::move(run)), steps_(steps) {}

  /// Writes or replaces the unfinished run. What stands in the way of that is a warning: the work itself can go on.
  void keep_run(const kinema::cogvideox::Denoising& state, std::int64_t surplus, const std::string& document);
  /// What is written with latents: recipes as JSON, of the unfinished run and of the latents alone (or empty: none).
  struct Documents { std::string run, latents; };
  /// Before decoding: the latents, in the run's file if there is one, else under `path` or a name beside the output.
  /// Throws if `path` was given and cannot be written; the latents are then kept elsewhere if they can.
  void keep_latents(const kinema::cogvideox::Denoising& state, std::int64_t surplus, const Documents& documents, const std::string& path);
  /// The video is there: what was kept only for it goes.
  void discard();
  /// The video is not there, the latents are: a run in another file has nothing more to give.
  void keep_latents_only();

  /// Steps that the file of the run has; −1 if there is none.
  std::int64_t steps_in_run() const { return run_.empty() ? -1 : steps_; }
  const std::string& run() const { return run_; }
  /// The file that decode can start from; empty before decoding.
  const std::string& latents() const { return latents_; }

 private:
  bool write_run(const kinema::cogvideox::Denoising& state, std::int64_t surplus, const std::string& document);

  std::string output_, run_, latents_;
  std::int64_t steps_ = 0;
  bool asked_for_ = false;  ///< the latents are a result
};

}  // namespace program
