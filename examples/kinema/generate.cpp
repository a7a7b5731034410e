// examples/kinema/generate.cpp - kinema generate: a video from a sentence, an image or a video.
#include "command_line.hpp"
#include "media.hpp"
#include "progress.hpp"
#include "session.hpp"

#include <kinema/model/cogvideox/pipeline.hpp>

#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options {
  Common common;
  TilingOptions tiling;
  Text prompt, negative_prompt, frames, height, width, steps, guidance, dynamic_guidance, seed, rng, scheduler;
  Text image, video, strength, latents, output, fps;
  bool no_contact_sheet = false;
};

/// What the command line alone decides: everything that can be refused before a file is opened.
cogvideox::Request request_of(const Options& o) {
  cogvideox::Request ask;
  ask.prompt = required(o.prompt, "--prompt");
  ask.negative_prompt = o.negative_prompt.value_or("");
  require_utf8("--prompt", ask.prompt);
  require_utf8("--negative-prompt", ask.negative_prompt);
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
  ask.rng = choice<cogvideox::Rng>("--rng", o.rng.value_or("torch-cpu"), {{"torch-cpu", cogvideox::Rng::torch_cpu}, {"philox", cogvideox::Rng::philox}});
  ask.dynamic_guidance = choice<diffusion::DynamicGuidance>("--dynamic-cfg", o.dynamic_guidance.value_or("off"),
                                                            {{"reference", diffusion::DynamicGuidance::reference}, {"cosine", diffusion::DynamicGuidance::cosine}, {"off", diffusion::DynamicGuidance::off}});
  if (o.scheduler) ask.sampler = choice<diffusion::SamplerKind>("--scheduler", *o.scheduler, {{"ddim", diffusion::SamplerKind::ddim}, {"dpm", diffusion::SamplerKind::dpm}});
  if (o.image && o.video) usage_error("--init-image and --init-video exclude each other");
  if (o.strength && !o.video) usage_error("--strength: is for --init-video only, got \"", printable(*o.strength), "\"");
  return ask;
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

void generate(const Options& o) {
  cogvideox::Request ask = request_of(o);
  const std::string output = required(o.output, "--output");
  const double fps_asked = o.fps ? number("--fps", *o.fps, 0, 240, true) : 0;
  Session session(o.common);
  check_video_output(output);
  if (o.latents) check_latents_output(*o.latents);

  cogvideox::Pipeline pipeline = session.open_pipeline();
  const cogvideox::PipelineConfig& config = pipeline.config();
  refuse_wrong_inputs(config, o.image.has_value(), o.video.has_value());
  if (o.image) ask.image = read_picture(*o.image);
  if (o.video) ask.video = read_clip(*o.video, ask.num_frames);
  const cogvideox::ClipSize size = checked(pipeline, ask);
  if (size.decoded_frames != size.frames)
    warn(cat("--num-frames ", size.frames, " makes an even number of latent frames: ", size.decoded_frames, " frames come out (8N+1 avoids this)"));
  if (config.scheduler.num_train_timesteps % ask.steps != 0)
    warn(cat("--steps ", ask.steps, " does not divide the ", config.scheduler.num_train_timesteps, " training steps: sampling ends slightly off the schedule, as in the reference"));
  session.choose_threads(config, size);
  ask.tile = session.tile_for(o.tiling, config, size.height, size.width, size.latent_frames);
  session.require_memory(pipeline, size, ask.guidance > 1, ask.tile);
  warn_about_lost_words("--prompt", pipeline.tokenize(ask.prompt));
  if (ask.guidance > 1) warn_about_lost_words("--negative-prompt", pipeline.tokenize(ask.negative_prompt));

  Progress progress(o.common.quiet);
  pipeline.set_callbacks(session.callbacks(progress));
  const Tensor<> latents = pipeline.sample(ask, session.stop());
  if (o.latents) write_latents(*o.latents, latents, "pipeline", size.surplus);
  VideoOutput video(output, size.decoded_frames, o.fps ? fps_asked : config.frames_per_second(), !o.no_contact_sheet);
  pipeline.decode(latents, size.surplus, [&](const Tensor<>& frames, std::int64_t) { video.add(frames); }, session.stop(), ask.tile);
  session.stop().check();
  video.finish();
  progress.finish();
  if (o.latents) print_path(*o.latents);
  video.print_paths();
}

}  // namespace

void add_generate(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("generate", "make a video from a prompt (and an image or a video)", [o] { generate(*o); });
  o->common.add_to(c);
  option(c, "--prompt,-p", o->prompt, "what the video shows");
  option(c, "--negative-prompt,-n,--negative_prompt", o->negative_prompt, "what it must not show");
  option(c, "--num-frames,--num_frames,--video-frames", o->frames, "frames, 8N+1 (default: what the checkpoint was trained for)");
  option(c, "--height,-H", o->height, "pixels, a multiple of 16 (default: the checkpoint's)");
  option(c, "--width,-W", o->width, "pixels, a multiple of 16 (default: the checkpoint's)");
  option(c, "--steps,--num-inference-steps,--num_inference_steps", o->steps, "denoising steps (default: 50)");
  option(c, "--cfg-scale,--guidance-scale,--guidance_scale", o->guidance, "classifier-free guidance, off at 1 or less (default: 6)");
  option(c, "--dynamic-cfg,--use_dynamic_cfg", o->dynamic_guidance, "reference, cosine or off (alone: reference; default: off)")
      ->expected(0, 1)
      ->default_str(std::string(1, value_mark) + "reference");
  option(c, "--seed,-s", o->seed, "seed of all noise (default: 42)");
  option(c, "--rng", o->rng, "torch-cpu (PyTorch's CPU generator) or philox (default: torch-cpu)");
  option(c, "--scheduler,--sampling-method", o->scheduler, "ddim or dpm: the update rule (default: the checkpoint's)");
  option(c, "--init-image,-i,--init-img", o->image, "first frame, for image-to-video models: PNG or JPEG");
  option(c, "--init-video", o->video, "video to start from: .npy, video file or folder of frames");
  option(c, "--strength", o->strength, "share of the steps that --init-video is redrawn with, in (0, 1] (default: 0.8)");
  o->tiling.add_to(c);
  option(c, "--save-latents", o->latents, "also store the denoised latents, .safetensors");
  option(c, "--fps", o->fps, "frames per second of the file (default: 8, for 1.5 models 16)");
  c->add_flag("--no-contact-sheet", o->no_contact_sheet, "no contact-sheet PNG beside the video");
  option(c, "--output,-o,--output_path,--output-path", o->output, "what to write: .mp4, .png, .npy or .safetensors");
}

}  // namespace program
