// examples/kinema/production.hpp - makes the videos of one command: each model is loaded once, and no failure costs the work.
#pragma once

#include "kept.hpp"
#include "recipe.hpp"
#include "session.hpp"

#include <kinema/model/cogvideox/preview.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace program {

/// One video.
struct Job {
  Recipe recipe;
  kinema::cogvideox::Request ask;  ///< the recipe's request with its tensors
  kinema::cogvideox::ClipSize size;
  std::string output, latents;     ///< latents: where to store them as well; empty: nowhere
  Kept kept;
  std::optional<kinema::cogvideox::Denoising> state;  ///< where a resumed run goes on
  std::string preview = {};                           ///< file of the last preview
  std::vector<std::string> results = {};              ///< files, when the video is finished
};

/// How videos are made and delivered.
struct Delivery {
  std::int64_t checkpoint_every = 0;       ///< steps between writes of the unfinished run; 0: only at Ctrl-C
  std::int64_t preview_every = 0;          ///< steps between previews; 0: none
  bool contact_sheet = true, metadata = true;  ///< metadata: side-car and tags
  std::vector<std::string> resume_command, decode_command;  ///< words of what continues a run and what decodes its latents
};

class Production {
 public:
  /// Borrows all three.
  Production(kinema::cogvideox::Pipeline& pipeline, const Session& session, Progress& progress, Delivery delivery);
  /// All texts, then all denoising, then all decoding; of the videos that wait, only the texts are in memory. What is thrown says in its message what was kept and how to go on.
  void run(std::vector<Job>& jobs);

 private:
  void note_missing_folders(const std::vector<Job>& jobs);
  void encode_texts(std::vector<Job>& jobs);
  void begin(std::vector<Job>& jobs);
  void denoise(std::vector<Job>& jobs);
  void decode(std::vector<Job>& jobs);
  void decode(Job& job);
  void announce(const Job& job, const std::vector<Job>& jobs);
  void on_state(const kinema::cogvideox::Denoising& state);
  void show(const kinema::cogvideox::Denoising& state);
  /// Keeps what an interrupt would lose; returns what to tell, a line for each video that is not lost.
  std::vector<std::string> rescue(std::vector<Job>& jobs, bool interrupted);
  std::string document(const Job& job, bool unfinished) const;

  kinema::cogvideox::Pipeline& pipeline_;
  Progress& progress_;
  Delivery delivery_;
  kinema::Stop stop_;
  std::vector<std::filesystem::path> missing_folders_;  ///< of the outputs, before the run; deepest first
  Job* current_ = nullptr;  ///< the one that is being denoised
  std::optional<kinema::cogvideox::LatentPreview> preview_;
};

}  // namespace program
