// examples/kinema/production.cpp - the stages over all videos of a command, and what happens when one fails.
#include "production.hpp"

#include "media.hpp"

#include <filesystem>

namespace program {

using namespace kinema;

Production::Production(cogvideox::Pipeline& pipeline, const Session& session, Progress& progress, Delivery delivery)
    : pipeline_(pipeline), progress_(progress), delivery_(std::move(delivery)), stop_(session.stop()) {
  cogvideox::Callbacks callbacks = session.callbacks(progress);
  callbacks.on_state = [this](const cogvideox::Denoising& state) { on_state(state); };
  pipeline_.set_callbacks(std::move(callbacks));
}

std::string Production::document(const Job& job, bool unfinished) const {
  Recipe recipe = job.recipe;
  recipe.output = unfinished ? whole_path(job.output) : "";
  recipe.checkpoint_every = unfinished ? std::optional(delivery_.checkpoint_every) : std::nullopt;
  return recipe.json();
}

void Production::note_missing_folders(const std::vector<Job>& jobs) {
  std::error_code error;
  const std::filesystem::path start = std::filesystem::absolute(jobs.front().output, error).parent_path();
  for (std::filesystem::path folder = start; !error && !std::filesystem::exists(folder, error) && folder != folder.parent_path(); folder = folder.parent_path())
    missing_folders_.push_back(folder);
}

void Production::run(std::vector<Job>& jobs) {
  note_missing_folders(jobs);
  try {
    begin(jobs);
    denoise(jobs);
    decode(jobs);
  } catch (...) {
    const Outcome outcome = current_failure();
    progress_.clear_bar();
    const bool interrupted = outcome.code == ExitCode::interrupted;
    const std::vector<std::string> lines = rescue(jobs, interrupted);
    if (lines.empty() && !interrupted) throw;
    std::string message = cat(outcome.message, lines.empty() ? "; there was nothing to keep yet" : "");
    for (const std::string& line : lines) message += "\n" + line;
    throw Failure(outcome.code, message);
  }
}

void Production::encode_texts(std::vector<Job>& jobs) {
  const auto held = pipeline_.text_encoder(stop_);
  const cogvideox::Request& first = jobs.front().ask;
  const bool guided = first.guidance > 1 && !first.negative_prompt_embeds;
  const Tensor<> negative = guided ? pipeline_.encode_prompt(first.negative_prompt, stop_) : first.negative_prompt_embeds;
  for (Job& job : jobs) {
    job.ask.prompt_embeds = pipeline_.encode_prompt(job.ask.prompt, stop_);
    job.ask.negative_prompt_embeds = negative;
  }
}

void Production::begin(std::vector<Job>& jobs) {
  const bool several = jobs.size() > 1, encodes = jobs[0].ask.image || jobs[0].ask.video;
  if (several) encode_texts(jobs);
  const auto held = delivery_.preview_every > 0 || (several && encodes) ? pipeline_.vae(stop_) : nullptr;
  if (delivery_.preview_every > 0) {
    progress_.stage("preview");
    const StopScope scope(stop_);
    preview_.emplace(*held, pipeline_.dtype());
  }
  for (Job& job : jobs)
    if (encodes && !job.state) job.state = pipeline_.begin(job.ask, stop_);
}

void Production::denoise(std::vector<Job>& jobs) {
  if (!jobs.front().state) jobs.front().state = pipeline_.begin(jobs.front().ask, stop_);  // texts are over before weights come
  const auto held = jobs.size() > 1 ? pipeline_.transformer(stop_) : nullptr;
  for (Job& job : jobs) {
    announce(job, jobs);
    if (!job.state) job.state = pipeline_.begin(job.ask, stop_);
    current_ = &job;
    pipeline_.denoise(job.ask, *job.state, stop_);
    current_ = nullptr;
    job.kept.keep_latents(*job.state, job.size.surplus, {document(job, true), delivery_.metadata ? document(job, false) : ""}, job.latents);
    job.state->text = job.state->image_latents = {};
    job.state->sampler = {};
    job.ask.prompt_embeds = {};
  }
}

void Production::decode(std::vector<Job>& jobs) {
  const auto held = jobs.size() > 1 ? pipeline_.vae(stop_) : nullptr;
  for (Job& job : jobs) {
    announce(job, jobs);
    decode(job);
  }
}

void Production::announce(const Job& job, const std::vector<Job>& jobs) {
  if (jobs.size() > 1) progress_.say(cat(printable(job.output, 4096), " (", &job - jobs.data() + 1, " of ", jobs.size(), "): ", printable(job.ask.prompt, 80)));
}

void Production::decode(Job& job) {
  Extras extras{delivery_.contact_sheet, "", {}};
  if (delivery_.metadata) extras.side_car = document(job, false), extras.tags = job.recipe.tags();
  VideoOutput video(job.output, job.size.decoded_frames, *job.recipe.fps, extras);
  pipeline_.decode(job.state->latents, job.size.surplus, [&](const Tensor<>& frames, std::int64_t) { video.add(frames); }, stop_, job.ask.tile);
  stop_.check();
  video.finish();
  job.kept.discard();
  if (!job.preview.empty()) job.results.push_back(job.preview);
  if (!job.latents.empty()) job.results.push_back(job.latents);
  for (std::string& path : video.paths()) job.results.push_back(std::move(path));
}

void Production::on_state(const cogvideox::Denoising& state) {
  const std::int64_t every = delivery_.checkpoint_every;
  if (every > 0 && state.done % every == 0 && state.done != current_->kept.steps_in_run()) current_->kept.keep_run(state, current_->size.surplus, document(*current_, true));
  if (preview_ && state.done > 0 && state.done % delivery_.preview_every == 0) show(state);
}

void Production::show(const cogvideox::Denoising& state) {
  // Samplers that estimate the clean clip keep it: it shows more than what is still full of noise.
  const Tensor<> latents = state.sampler.clean ? state.sampler.clean : state.latents;
  const std::int64_t surplus = current_->size.surplus, frames = latents.size(1) - surplus;
  io::ContactSheet sheet(frames);
  sheet.add((*preview_)(narrow(latents, 1, surplus, frames)));
  try {
    sheet.write(preview_path(current_->output));
    current_->preview = preview_path(current_->output);
  } catch (const IoError& e) {
    warn(cat("no more previews: ", e.what()));
    preview_.reset();
  }
}

std::vector<std::string> Production::rescue(std::vector<Job>& jobs, bool interrupted) {
  if (interrupted && current_ && current_->state->done > std::max<std::int64_t>(current_->kept.steps_in_run(), 0))
    current_->kept.keep_run(*current_->state, current_->size.surplus, document(*current_, true));
  std::vector<std::string> lines;
  std::size_t lost = 0;
  for (Job& job : jobs) {
    std::error_code none;
    if (job.results.empty() && !job.preview.empty()) std::filesystem::remove(job.preview, none);
    if (!job.results.empty()) {
      lines.push_back(cat(printable(job.output, 4096), " is finished"));
    } else if (!job.kept.latents().empty()) {
      job.kept.keep_latents_only();
      std::vector<std::string> words = delivery_.decode_command;
      words.insert(words.end(), {"--latents", job.kept.latents(), "--output", job.output});
      lines.push_back(cat("the denoised latents are kept in ", printable(job.kept.latents(), 4096), "; this makes the video of them:"));
      lines.push_back(shell_text(words));
    } else if (job.kept.steps_in_run() >= 0) {
      std::vector<std::string> words = delivery_.resume_command;
      words.insert(words.end(), {"--resume", job.kept.run()});
      lines.push_back(cat("the run is kept in ", printable(job.kept.run(), 4096), ", at step ", job.kept.steps_in_run(), "; this continues it:"));
      lines.push_back(shell_text(words));
    } else {
      ++lost;
    }
  }
  std::error_code ignored;
  for (const std::filesystem::path& folder : missing_folders_) std::filesystem::remove(folder, ignored);  // empty ones only
  if (!lines.empty() && lost > 0) lines.push_back(cat("not begun or not kept: ", lost, " of ", jobs.size(), " videos"));
  return lines;
}

}  // namespace program
