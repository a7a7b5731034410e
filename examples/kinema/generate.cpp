// examples/kinema/generate.cpp - kinema generate: a video from a sentence, an image or a video.
#include "adapters.hpp"
#include "command_line.hpp"
#include "media.hpp"
#include "placement.hpp"
#include "production.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "session.hpp"

#include <kinema/model/cogvideox/fingerprint.hpp>
#include <kinema/model/cogvideox/pipeline.hpp>
#include <kinema/model/cogvideox/run_file.hpp>

#include <cstdio>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options {
  Common common;
  TilingOptions tiling;
  MemoryOptions memory;
  Text prompt, prompt_file, prompt_embeds, negative_prompt, negative_prompt_embeds, frames, height, width, steps, guidance, dynamic_guidance, seed, rng, scheduler;
  std::vector<std::string> loras;
  Text lora_mode;
  Text image, video, image_or_video, kind, strength, latents, output, fps, config, resume, checkpoint_every, preview, report;
  bool no_contact_sheet = false, no_metadata = false;
};

/// --generate-type decides nothing: it must agree with what is given.
void check_kind(const std::string& word, const Options& o) {
  enum class Kind { text, image, video };
  const Kind kind = choice<Kind>("--generate-type", word, {{"t2v", Kind::text}, {"i2v", Kind::image}, {"v2v", Kind::video}});
  const bool image = o.image || o.image_or_video, video = o.video || o.image_or_video;
  if (kind == Kind::text && (image || video)) usage_error("--generate-type: t2v takes neither image nor video, got \"t2v\"");
  if (kind == Kind::image && (!image || o.video)) usage_error("--generate-type: i2v needs --init-image, got \"i2v\"");
  if (kind == Kind::video && (!video || o.image)) usage_error("--generate-type: v2v needs --init-video, got \"v2v\"");
}

/// The recipe with what the command line says instead. Refuses everything that can be refused before a model is opened.
Recipe changed(Recipe recipe, const Options& o) {
  cogvideox::Request& ask = recipe.request;
  if (static_cast<int>(o.prompt.has_value()) + static_cast<int>(o.prompt_file.has_value()) + static_cast<int>(o.prompt_embeds.has_value()) > 1)
    usage_error("--prompt, --prompt-file and --prompt-embeds exclude each other");
  if (o.negative_prompt && o.negative_prompt_embeds) usage_error("--negative-prompt and --negative-prompt-embeds exclude each other");
  const auto text = [](const char* flag, const Text& words, const Text& embeds, std::string& into, InputFile& file) {
    if (words) {
      require_utf8(flag, *words);
      into = *words, file = {};
    }
    if (embeds) into.clear(), file = {*embeds, ""};
  };
  text("--prompt", o.prompt, o.prompt_embeds, ask.prompt, recipe.prompt_embeds);
  text("--negative-prompt", o.negative_prompt, o.negative_prompt_embeds, ask.negative_prompt, recipe.negative_prompt_embeds);
  const auto size = [](const char* flag, const Text& t, std::optional<std::int64_t>& into) {
    if (t) into = integer(flag, *t, 1, 1'000'000);
  };
  size("--num-frames", o.frames, ask.num_frames);
  size("--height", o.height, ask.height);
  size("--width", o.width, ask.width);
  if (o.steps) ask.steps = integer("--steps", *o.steps, 1, 1'000'000);
  if (o.guidance) ask.guidance = number("--cfg-scale", *o.guidance, 0, 1e6);
  if (o.seed) ask.seed = static_cast<std::uint64_t>(integer("--seed", *o.seed, 0, std::numeric_limits<std::int64_t>::max()));
  if (o.strength) ask.strength = number("--strength", *o.strength, 0, 1, true);
  if (o.rng) ask.rng = choice<cogvideox::Rng>("--rng", *o.rng, {{"torch-cpu", cogvideox::Rng::torch_cpu}, {"philox", cogvideox::Rng::philox}});
  if (o.dynamic_guidance)
    ask.dynamic_guidance = choice<diffusion::DynamicGuidance>("--dynamic-cfg", *o.dynamic_guidance,
                                                              {{"reference", diffusion::DynamicGuidance::reference}, {"cosine", diffusion::DynamicGuidance::cosine}, {"off", diffusion::DynamicGuidance::off}});
  if (o.scheduler) ask.sampler = choice<diffusion::SamplerKind>("--scheduler", *o.scheduler, {{"ddim", diffusion::SamplerKind::ddim}, {"dpm", diffusion::SamplerKind::dpm}});
  if (const auto quantized = o.memory.quantized()) recipe.quantized = *quantized;
  if (o.fps) recipe.fps = number("--fps", *o.fps, 0, 240, true);
  if (!o.loras.empty()) recipe.loras = named_loras(o.loras);
  if (o.lora_mode) recipe.loras_merged = choice<bool>("--lora-mode", *o.lora_mode, {{"merge", true}, {"runtime", false}});
  if (static_cast<int>(o.image.has_value()) + static_cast<int>(o.video.has_value()) + static_cast<int>(o.image_or_video.has_value()) > 1)
    usage_error("--init-image, --init-video and --image-or-video-path exclude each other");
  for (const auto& [flag, file] : std::initializer_list<std::pair<const char*, const Text*>>{
           {"--init-image", &o.image}, {"--init-video", &o.video}, {"--image-or-video-path", &o.image_or_video}, {"--prompt-embeds", &o.prompt_embeds}, {"--negative-prompt-embeds", &o.negative_prompt_embeds}})
    if (*file && (*file)->empty()) usage_error(flag, ": must name a file, is empty");
  if (o.kind) check_kind(*o.kind, o);
  if (o.image) recipe.image = {*o.image, ""}, recipe.video = {};
  if (o.video) recipe.video = {*o.video, ""}, recipe.image = {};
  if (o.strength && !recipe.video && !o.image_or_video) usage_error("--strength: is for --init-video only, got \"", printable(*o.strength), "\"");
  if (!recipe.prompt_said && !recipe.prompt_embeds && !o.prompt && !o.prompt_file) usage_error("--prompt: is required");
  return recipe;
}

/// The library names fields; the command line's user typed flags.
cogvideox::ClipSize checked(const cogvideox::Pipeline& pipeline, const cogvideox::Request& ask) {
  try {
    return pipeline.check(ask);
  } catch (const ArgumentError& e) {
    const std::string what = e.what();
    for (const char* field : {"num-frames:", "height:", "width:", "steps:", "strength:"})
      if (what.rfind(field, 0) == 0) usage_error("--", what);
    throw;
  }
}

/// A flag beside --resume must not change what the run was begun with.
void refuse_changes(const Recipe& run, const Recipe& now, const Options& o) {
  const cogvideox::Request &a = run.request, &b = now.request;
  const auto same = [](const char* flag, bool equal) {
    if (!equal) usage_error(flag, ": contradicts the run that --resume continues; it keeps what it was begun with");
  };
  same("--prompt", a.prompt == b.prompt);
  same("--prompt-file", !o.prompt_file);
  same("--prompt-embeds", !o.prompt_embeds || run.prompt_embeds.path == whole_path(*o.prompt_embeds));
  same("--negative-prompt-embeds", !o.negative_prompt_embeds || run.negative_prompt_embeds.path == whole_path(*o.negative_prompt_embeds));
  same("--negative-prompt", a.negative_prompt == b.negative_prompt);
  same("--num-frames", a.num_frames == b.num_frames);
  same("--height", a.height == b.height);
  same("--width", a.width == b.width);
  same("--steps", a.steps == b.steps);
  same("--cfg-scale", a.guidance == b.guidance);
  same("--dynamic-cfg", a.dynamic_guidance == b.dynamic_guidance);
  same("--seed", a.seed == b.seed);
  same("--rng", a.rng == b.rng);
  same("--scheduler", a.sampler == b.sampler);
  same("--strength", a.strength == b.strength);
  same("--lora", o.loras.empty() || same_loras(run.loras, now.loras));
  same("--lora-mode", !o.lora_mode || run.loras_merged == now.loras_merged);
  same("--init-image", !o.image || run.image.path == whole_path(*o.image));
  same("--init-video", !o.video || run.video.path == whole_path(*o.video));
  same("--weights", run.quantized == now.quantized);
  same("--vae-tiling", !o.tiling.tiling && !o.tiling.tile_size);
  same("--dtype", !o.common.compute_dtype() || o.common.compute_dtype() == run.dtype);
}

/// The model of a recipe is the one that was opened, or the user named another on purpose.
void check_model(const Recipe& recipe, const std::string& fingerprint, const Options& o, const std::string& source) {
  if (recipe.fingerprint.empty() || recipe.fingerprint == fingerprint) return;
  const std::string message = cat(printable(source), ": was made with another model than ", printable(o.common.model_folder()), " (fingerprint ",
                                  printable(recipe.fingerprint.substr(0, 12)), ", this one has ", fingerprint.substr(0, 12), ")");
  if (o.resume || recipe.model == *o.common.model) throw Failure(ExitCode::file, message);
  warn(message);
}

/// Notes where an input came from; one that a recipe names must still hold the same values.
void identify(InputFile& file, const Tensor<>& values) {
  const std::string found = sha256_of(values);
  if (!file.values_sha256.empty() && file.values_sha256 != found)
    throw Failure(ExitCode::file, cat(printable(file.path, 4096), ": is not what the recipe was made with (SHA-256 of its values is ", found.substr(0, 12), "…, was ",
                                      printable(file.values_sha256.substr(0, 12)), "…)"));
  file = {whole_path(file.path), found};
}

/// Flags that decide how a result is delivered, as they were given.
std::vector<std::string> delivery_words(const Options& o) {
  std::vector<std::string> words;
  if (o.common.device) words.insert(words.end(), {"--device", *o.common.device});
  if (o.common.threads) words.insert(words.end(), {"--threads", *o.common.threads});
  if (o.memory.max_ram) words.insert(words.end(), {"--max-ram", *o.memory.max_ram});
  if (o.fps) words.insert(words.end(), {"--fps", *o.fps});
  if (o.no_contact_sheet) words.push_back("--no-contact-sheet");
  if (o.no_metadata) words.push_back("--no-metadata");
  return words;
}

std::vector<std::string> decode_command(const std::string& program, const Options& o) {
  std::vector<std::string> words{program, "decode", "--model", o.common.model_folder()};
  if (o.common.dtype) words.insert(words.end(), {"--dtype", *o.common.dtype});
  if (o.tiling.tiling) words.insert(words.end(), {"--vae-tiling", *o.tiling.tiling});
  if (o.tiling.tile_size) words.insert(words.end(), {"--vae-tile-size", *o.tiling.tile_size});
  const std::vector<std::string> more = delivery_words(o);
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::vector<std::string> resume_command(const std::string& program, const Options& o) {
  std::vector<std::string> words{program, "generate"};
  if (o.latents) words.insert(words.end(), {"--save-latents", *o.latents});
  if (o.memory.stream) words.insert(words.end(), {"--stream-weights", *o.memory.stream});
  if (o.report) words.insert(words.end(), {"--report", *o.report});
  if (o.preview) words.insert(words.end(), {"--preview", *o.preview});
  const std::vector<std::string> more = delivery_words(o);
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// A run that was read from its file: the errors name it.
template <class Check>
void check_run(const std::string& path, const Check& check) {
  try {
    check();
  } catch (const Failure&) {
    throw;
  } catch (const Error& e) {
    throw Failure(ExitCode::file, cat(printable(path, 4096), ": does not continue: ", e.what()));
  }
}

/// What the command starts from: a side-car, an unfinished run, or nothing.
struct Start {
  Recipe recipe;
  std::optional<cogvideox::RunFile> run;
};

Start start_of(const Options& o) {
  if (o.config && o.resume) usage_error("--config and --resume exclude each other");
  Start start;
  if (o.config) start.recipe = read_recipe(io::Json::read(*o.config));
  if (!o.resume) return start;
  start.run = cogvideox::read_run(*o.resume);
  start.recipe = read_recipe(io::Json::parse(start.run->document, cat(*o.resume, ": kinema")));
  return start;
}

/// The words of one video, and where it goes.
struct Target { std::string prompt, output, latents; };

/// One for the prompt, or one for each line of a file, with numbered outputs.
std::vector<Target> targets_of(const Recipe& recipe, const Options& o, const Stop& stop) {
  const std::string output = required(o.output, "--output");
  std::vector<Target> targets;
  if (o.prompt_file) {
    for (const std::string& prompt : read_prompts(*o.prompt_file, stop)) {
      const std::size_t i = targets.size();
      targets.push_back({prompt, numbered(output, i), o.latents ? numbered(*o.latents, i) : ""});
    }
  } else {
    targets.push_back({recipe.request.prompt, output, o.latents.value_or("")});
  }
  if (o.report) Report::check(*o.report);
  for (const Target& t : targets) {
    check_video_output(t.output, !o.no_contact_sheet, !o.no_metadata);
    if (o.latents) check_latents_output(t.latents);
    if (o.preview) io::check_destination(preview_path(t.output));
  }
  return targets;
}

/// The tensors of a request, and where they came from.
void read_inputs(Recipe& recipe, cogvideox::Request& ask, const cogvideox::PipelineConfig& config) {
  refuse_wrong_inputs(config, static_cast<bool>(recipe.image), static_cast<bool>(recipe.video));
  if (recipe.image) identify(recipe.image, ask.image = read_picture(recipe.image.path));
  if (recipe.video) identify(recipe.video, ask.video = read_clip(recipe.video.path, ask.num_frames));
  const Shape embeds{1, config.transformer.max_text_seq_length, config.transformer.text_embed_dim};
  if (recipe.prompt_embeds) identify(recipe.prompt_embeds, ask.prompt_embeds = read_embeds(recipe.prompt_embeds.path, embeds));
  if (recipe.negative_prompt_embeds) identify(recipe.negative_prompt_embeds, ask.negative_prompt_embeds = read_embeds(recipe.negative_prompt_embeds.path, embeds));
}

void warn_about(const cogvideox::Pipeline& pipeline, const cogvideox::Request& ask, const std::vector<Target>& targets, const cogvideox::ClipSize& size) {
  const std::int64_t train_steps = pipeline.config().scheduler.num_train_timesteps;
  if (size.decoded_frames != size.frames)
    warn(cat("--num-frames ", size.frames, " makes an even number of latent frames: ", size.decoded_frames, " frames come out (8N+1 avoids this)"));
  if (train_steps % ask.steps != 0)
    warn(cat("--steps ", ask.steps, " does not divide the ", train_steps, " training steps: sampling ends slightly off the schedule, as in the reference"));
  for (std::size_t i = 0; i < targets.size() && !ask.prompt_embeds; ++i)
    warn_about_lost_words(targets.size() > 1 ? cat("--prompt-file: prompt ", i).c_str() : "--prompt", pipeline.tokenize(targets[i].prompt));
  if (ask.guidance > 1 && !ask.negative_prompt_embeds) warn_about_lost_words("--negative-prompt", pipeline.tokenize(ask.negative_prompt));
}

void write_report(Report& report, const std::vector<Job>& jobs, const Progress& progress, int threads) {
  try {
    report.write(jobs, progress, threads);
  } catch (const IoError& e) {
    throw Failure(ExitCode::file, cat(e.what(), "; everything else is finished"));
  }
}

void generate(Options o, const std::string& program) {
  const std::int64_t every = o.checkpoint_every ? integer("--checkpoint-every", *o.checkpoint_every, 1, 1'000'000) : 0;
  const std::int64_t preview = o.preview ? integer("--preview", *o.preview, 1, 1'000'000) : 0;
  Start start = start_of(o);
  const Recipe& base = start.recipe;
  Recipe recipe = changed(base, o);
  if (start.run) refuse_changes(base, recipe, o);
  if (!o.common.model && !base.model.empty()) o.common.model = base.model;
  if (!o.common.dtype && base.dtype) o.common.dtype = to_string(*base.dtype);
  if (!o.output && !base.output.empty()) o.output = base.output;
  Session session(o.common);
  if (o.prompt_file) recipe.prompt_embeds = {};
  const std::vector<Target> targets = targets_of(recipe, o, session.stop());

  cogvideox::Pipeline pipeline = session.open_pipeline();
  const cogvideox::PipelineConfig& config = pipeline.config();
  const std::string fingerprint = cogvideox::fingerprint(pipeline.folder());
  check_model(base, fingerprint, o, o.resume ? *o.resume : o.config.value_or(""));

  if (o.image_or_video) (config.image_to_video ? recipe.image : recipe.video) = {*o.image_or_video, ""};
  std::vector<nn::Lora> loras = read_loras(recipe.loras, config.transformer);

  cogvideox::Request ask = recipe.request;
  cogvideox::ClipSize size{};
  if (start.run) {
    check_run(*o.resume, [&] {
      pipeline.check(ask, start.run->state);
      size = pipeline.size_of(ask);
    });
  } else {
    read_inputs(recipe, ask, config);
    size = checked(pipeline, ask);
    warn_about(pipeline, ask, targets, size);
  }
  session.choose_threads(config, size);
  pipeline.quantize_weights(recipe.quantized);
  const PlannedModel planned(pipeline);
  cogvideox::PlanRequest need{.size = size, .steps = ask.steps, .guided = ask.guidance > 1, .encoded_frames = ask.image ? 1 : ask.video ? size.frames : 0,
                              .texts = !start.run, .dtype = pipeline.dtype(), .tile = ask.tile, .quantized = recipe.quantized, .adapters = adapters_of(loras, recipe.loras_merged), .threads = session.threads()};
  const cogvideox::Plan plan = place(planned, need, o.tiling, o.memory, base.tile_said && !o.tiling.tiling && !o.tiling.tile_size);
  if (o.memory.dry_run) {
    std::fputs(plan_text(planned, need, plan).c_str(), stdout);
    return;
  }
  ask.tile = need.tile;
  pipeline.stream_weights(need.streamed);
  if (!loras.empty()) pipeline.set_loras(std::move(loras), recipe.loras_merged);

  // What the checkpoint or this machine decided is part of the recipe, so that it holds elsewhere too.
  ask.sampler = ask.sampler.value_or(config.sampler);
  cogvideox::Request& said = recipe.request;
  said.num_frames = size.frames, said.height = size.height, said.width = size.width;
  said.sampler = ask.sampler, said.tile = ask.tile;
  recipe.model = whole_path(o.common.model_folder());
  recipe.fingerprint = fingerprint;
  recipe.dtype = pipeline.dtype();
  recipe.fps = recipe.fps.value_or(config.frames_per_second());

  std::vector<Job> jobs;
  for (const Target& t : targets) {
    ask.prompt = said.prompt = t.prompt;
    jobs.push_back({recipe, ask, size, t.output, t.latents, start.run ? Kept(t.output, *o.resume, start.run->state.done) : Kept(t.output), {}});
    if (start.run) jobs.back().state = start.run->state;
  }
  Progress progress(o.common.quiet);
  Delivery delivery{every > 0 ? every : base.checkpoint_every.value_or(0), preview, !o.no_contact_sheet, !o.no_metadata, resume_command(program, o), decode_command(program, o)};
  std::optional<Report> report;
  if (o.report) report.emplace(*o.report, pipeline.folder(), session.stop(), progress);
  Production(pipeline, session, progress, std::move(delivery)).run(jobs);
  progress.finish();
  if (report) write_report(*report, jobs, progress, session.threads());
  for (const Job& job : jobs)
    for (const std::string& path : job.results) print_path(path);
  if (report) print_path(report->path());
}

}  // namespace

void add_generate(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("generate", "make a video from a prompt (and an image or a video)", [o, &line] { generate(*o, line.program); });
  o->common.add_to(c);
  option(c, "--prompt,-p", o->prompt, "what the video shows");
  option(c, "--prompt-file", o->prompt_file, "a prompt on each line (-: standard input), a video of each: OUTPUT_0, OUTPUT_1, …; models are loaded once");
  option(c, "--prompt-embeds", o->prompt_embeds, "embeddings from encode-text instead of a prompt, .safetensors");
  option(c, "--negative-prompt,-n", o->negative_prompt, "what it must not show");
  option(c, "--negative-prompt-embeds", o->negative_prompt_embeds, "embeddings from encode-text instead of a negative prompt");
  option(c, "--num-frames,--video-frames", o->frames, "frames, 8N+1 (default: what the checkpoint was trained for)");
  option(c, "--height,-H", o->height, "pixels, a multiple of 16 (default: the checkpoint's)");
  option(c, "--width,-W", o->width, "pixels, a multiple of 16 (default: the checkpoint's)");
  option(c, "--steps,--num-inference-steps", o->steps, "denoising steps (default: 50)");
  option(c, "--cfg-scale,--guidance-scale", o->guidance, "classifier-free guidance, off at 1 or less (default: 6)");
  option(c, "--dynamic-cfg,--use-dynamic-cfg", o->dynamic_guidance, "reference, cosine or off (alone: reference; default: off)")
      ->expected(0, 1)
      ->default_str(std::string(1, value_mark) + "reference");
  option(c, "--seed,-s", o->seed, "seed of all noise (default: 42)");
  option(c, "--rng", o->rng, "torch-cpu (PyTorch's CPU generator) or philox (default: torch-cpu)");
  option(c, "--scheduler,--sampling-method", o->scheduler, "ddim or dpm: the update rule (default: the checkpoint's)");
  option(c, "--init-image,-i,--init-img", o->image, "first frame, for image-to-video models: PNG or JPEG");
  option(c, "--init-video", o->video, "video to start from: .npy, video file or folder of frames");
  option(c, "--image-or-video-path", o->image_or_video, "--init-image or --init-video, whichever the model takes");
  option(c, "--generate-type,--mode,-M", o->kind, "t2v, i2v or v2v: refuse other inputs than these (default: what is given decides)");
  option(c, "--strength", o->strength, "share of the steps that --init-video is redrawn with, in (0, 1] (default: 0.8)");
  c->add_option_function<std::vector<std::string>>("--lora", [o](const std::vector<std::string>& words) { for (const std::string& w : words) o->loras.push_back(value_of(w)); },
                                                   "adapter of the transformer, FILE.safetensors[:weight] (default weight: 1); may be given several times")
      ->allow_extra_args(false)
      ->take_all();
  option(c, "--lora-mode", o->lora_mode, "merge: into the weights at load, costs memory; runtime: added in every step, costs time (default: merge)");
  o->tiling.add_to(c);
  o->memory.add_to(c);
  option(c, "--save-latents", o->latents, "also store the denoised latents, .safetensors");
  option(c, "--fps", o->fps, "frames per second of the file (default: 8, for 1.5 models 16)");
  option(c, "--checkpoint-every", o->checkpoint_every, "keep the unfinished run in OUTPUT.run.safetensors after every so many steps, for --resume; removed when the video is there");
  option(c, "--preview", o->preview, "every so many steps, show the clip so far in OUTPUT.preview.png: latents in false colours (alone: 5)")
      ->expected(0, 1)
      ->default_str(std::string(1, value_mark) + "5");
  option(c, "--report", o->report, "also write what ran: stages, times, memory, versions, SHA-256 of the weights; .json");
  option(c, "--resume", o->resume, "continue an unfinished run (OUTPUT.run.safetensors) with the same result; needs no other flag");
  option(c, "--config", o->config, "take what is not said here from a side-car (OUTPUT.json): the same video again, or a variation");
  c->add_flag("--no-metadata", o->no_metadata, "no parameters in the video and no side-car OUTPUT.json");
  c->add_flag("--no-contact-sheet", o->no_contact_sheet, "no contact-sheet PNG beside the video");
  option(c, "--output,-o,--output-path", o->output, "what to write: .mp4, .webm, .gif, .webp, .apng, .avi, .png, .npy or .safetensors; beside it appear OUTPUT.json and a contact sheet");
}

}  // namespace program
