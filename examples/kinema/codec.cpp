// examples/kinema/codec.cpp - kinema encode and kinema decode: the VAE alone.
#include "command_line.hpp"
#include "media.hpp"
#include "placement.hpp"
#include "progress.hpp"
#include "recipe.hpp"
#include "session.hpp"

#include <kinema/io/safetensors.hpp>
#include <kinema/op/reduce.hpp>

#include <cstdio>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct EncodeOptions {
  Common common;
  TilingOptions tiling;
  MemoryOptions memory;
  Text input, output, seed;
};

void encode(const EncodeOptions& o) {
  const std::string input = required(o.input, "--input"), output = required(o.output, "--output");
  std::optional<std::uint64_t> seed;
  if (o.seed) seed = static_cast<std::uint64_t>(integer("--sample-seed", *o.seed, 0, std::numeric_limits<std::int64_t>::max()));
  Session session(o.common);
  check_latents_output(output);
  cogvideox::Pipeline pipeline = session.open_pipeline();
  const Tensor<> frames = read_clip(input, {});
  const std::int64_t factor = pipeline.config().factors().space, h = frames.size(1), w = frames.size(2);
  if (h % factor != 0 || w % factor != 0)
    throw Failure(ExitCode::file, cat(printable(input, 4096), ": frames are ", h, "x", w, " (height x width), both must be multiples of ", factor));
  const std::int64_t latent_frames = (frames.size(0) + 3) / 4;
  const cogvideox::ClipSize size{frames.size(0), h, w, latent_frames, h / factor, w / factor, 0, frames.size(0)};
  session.choose_threads(pipeline.config(), size);
  const PlannedModel planned(pipeline);
  cogvideox::PlanRequest need{.size = size, .encoded_frames = frames.size(0), .texts = false, .denoise = false, .decode = false, .dtype = pipeline.dtype(), .tile = {}, .threads = session.threads()};
  const cogvideox::Plan plan = place(planned, need, o.tiling, o.memory);
  if (o.memory.dry_run) {
    std::fputs(plan_text(planned, need, plan).c_str(), stdout);
    return;
  }
  const auto tile = need.tile;
  Progress progress(o.common.quiet);
  pipeline.set_callbacks(session.callbacks(progress));
  const cogvideox::Posterior posterior(pipeline.encode(frames, session.stop(), tile));
  Tensor<> latents = posterior.mode();  // [1, C, f, h, w]
  if (seed) latents = posterior.sample(TorchCpuGenerator(*seed).normal(latents.shape()));
  write_latents(output, latents, "vae", 0);
  progress.finish();
  print_path(output);
}

struct DecodeOptions {
  Common common;
  TilingOptions tiling;
  MemoryOptions memory;
  Text latents, output, fps;
  bool no_contact_sheet = false, no_metadata = false;
};

/// Latents of a file, and how to read them: what kinema wrote says so itself; otherwise the place of the channel axis does.
struct StoredLatents {
  Tensor<> value;
  bool pipeline_layout;
  std::int64_t surplus;
  std::optional<Recipe> recipe;  ///< what they were made from, if the file says so
};

std::optional<Recipe> stored_recipe(const io::Safetensors& file) {
  const auto found = file.metadata().find("kinema");
  if (found == file.metadata().end()) return std::nullopt;
  try {
    Recipe recipe = read_recipe(io::Json::parse(found->second, "kinema"));
    recipe.output.clear();
    recipe.checkpoint_every.reset();
    return recipe;
  } catch (const Error& e) {
    warn(cat(file.description(), ": its parameters cannot be read: ", e.what()));
    return std::nullopt;
  }
}

/// Latents of an unfinished run can be decoded, but are still noise in part.
void warn_about_unfinished(const io::Safetensors& file, const std::optional<Recipe>& recipe) {
  const auto found = file.metadata().find("kinema_run");
  if (found == file.metadata().end() || !recipe) return;
  const io::Json run = io::Json::parse(found->second, cat(file.description(), ": kinema_run"));
  const std::int64_t done = run.integer("skipped") + run.integer("done");
  if (done < recipe->request.steps) warn(cat(file.description(), ": an unfinished run, step ", done, " of ", recipe->request.steps, "; generate --resume finishes it"));
}

StoredLatents read_latents(const std::string& path, const cogvideox::PipelineConfig& config) {
  const io::Safetensors file = io::Safetensors(path);
  if (!file.contains("latents")) throw CheckpointError(cat(printable(path, 4096), ": no tensor \"latents\"; the file has ", nn::detail::listed_inline(file.names())));
  const std::int64_t channels = config.vae.latent_channels;
  const Shape shape = file.shape("latents");
  const auto refuse = [&](const std::string& what) { throw CheckpointError(cat(printable(path, 4096), ": latents must be ", what, ", got ", file.dtype("latents"), shape)); };
  if (!is_floating(file.dtype("latents"))) refuse("floating");
  if (shape.rank() != 5 || shape[0] != 1) refuse(cat("[1, ", channels, ", f, h, w] (from encode) or [1, F, ", channels, ", h, w] (from generate)"));
  for (const std::int64_t size : shape)
    if (size < 1 || size > cogvideox::max_side) refuse(cat("of sizes 1 to ", cogvideox::max_side));
  const auto& metadata = file.metadata();
  const auto layout = metadata.find("layout");
  StoredLatents stored{file.get("latents"), false, 0, stored_recipe(file)};
  warn_about_unfinished(file, stored.recipe);
  stored.pipeline_layout = layout != metadata.end() ? layout->second == "pipeline" : shape[1] != channels;
  if (shape[stored.pipeline_layout ? 2 : 1] != channels) refuse(cat("of ", channels, " channels, the vae's latent_channels"));
  if (stored.pipeline_layout) {
    const auto surplus = metadata.find("surplus_frames");
    // A run of a 1.5 model pads odd counts to even ones in front; files that do not say so are taken to be padded.
    const std::int64_t frames = shape[1], patch = config.transformer.temporal_patch();
    if (surplus != metadata.end()) stored.surplus = integer(cat(printable(path, 4096), ": surplus_frames"), surplus->second, 0, frames - 1);
    else if (patch > 1 && frames > 1 && frames % patch == 0) stored.surplus = 1;
  }
  const std::int64_t bad = op::first_non_finite(stored.value);
  if (bad >= 0) throw NonFiniteError(cat(printable(path, 4096), ": latents: element ", bad, " is not a finite number"));
  return stored;
}

void decode(const DecodeOptions& o) {
  const std::string path = required(o.latents, "--latents"), output = required(o.output, "--output");
  const double fps = o.fps ? number("--fps", *o.fps, 0, 240, true) : 0;
  Session session(o.common);
  check_video_output(output, !o.no_contact_sheet, !o.no_metadata);
  cogvideox::Pipeline pipeline = session.open_pipeline();
  const cogvideox::PipelineConfig& config = pipeline.config();
  StoredLatents stored = read_latents(path, config);
  const cogvideox::Factors k = config.factors();
  const std::int64_t latent_frames = stored.pipeline_layout ? stored.value.size(1) - stored.surplus : stored.value.size(2);
  const std::int64_t height = stored.value.size(3) * k.space, width = stored.value.size(4) * k.space;
  const std::int64_t out_frames = cogvideox::decoded_frames(latent_frames, k.time);
  const cogvideox::ClipSize size{out_frames, height, width, latent_frames, height / k.space, width / k.space, 0, out_frames};
  session.choose_threads(config, size);
  const PlannedModel planned(pipeline);
  cogvideox::PlanRequest need{.size = size, .texts = false, .denoise = false, .dtype = pipeline.dtype(), .tile = {}, .threads = session.threads()};
  const cogvideox::Plan plan = place(planned, need, o.tiling, o.memory);
  if (o.memory.dry_run) {
    std::fputs(plan_text(planned, need, plan).c_str(), stdout);
    return;
  }
  const auto tile = need.tile;
  Progress progress(o.common.quiet);
  pipeline.set_callbacks(session.callbacks(progress));
  const double rate = o.fps ? fps : stored.recipe && stored.recipe->fps ? *stored.recipe->fps : config.frames_per_second();
  Extras extras{!o.no_contact_sheet, "", {}};
  if (stored.recipe && !o.no_metadata) {
    stored.recipe->fps = rate;
    stored.recipe->request.tile = tile;
    extras.side_car = stored.recipe->json();
    extras.tags = stored.recipe->tags();
  }
  VideoOutput video(output, cogvideox::decoded_frames(latent_frames, k.time), rate, extras);
  const auto receive = [&](const Tensor<>& frames, std::int64_t) { video.add(frames); };
  if (stored.pipeline_layout) pipeline.decode(stored.value, stored.surplus, receive, session.stop(), tile);
  else pipeline.decode_raw(stored.value, receive, session.stop(), tile);
  video.finish();
  progress.finish();
  for (const std::string& written : video.paths()) print_path(written);
}

}  // namespace

void add_encode(CommandLine& line) {
  auto o = std::make_shared<EncodeOptions>();
  CLI::App* c = line.command("encode", "latents [1, C, f, h, w] of a video or image, unscaled", [o] { encode(*o); });
  o->common.add_to(c);
  o->tiling.add_to(c);
  o->memory.add_to(c, false);
  option(c, "--input,-i", o->input, ".npy, video file, image or folder of frames");
  option(c, "--output,-o,--output-path", o->output, "what to write, .safetensors");
  option(c, "--sample-seed", o->seed, "sample from the posterior instead of taking its mode");
}

void add_decode(CommandLine& line) {
  auto o = std::make_shared<DecodeOptions>();
  CLI::App* c = line.command("decode", "the video of latents: from encode, or from generate --save-latents", [o] { decode(*o); });
  o->common.add_to(c);
  o->tiling.add_to(c);
  o->memory.add_to(c, false);
  option(c, "--latents", o->latents, "safetensors file with a tensor latents");
  option(c, "--fps", o->fps, "frames per second of the file (default: 8, for 1.5 models 16)");
  c->add_flag("--no-metadata", o->no_metadata, "no parameters (which latents of generate know) in the video, and no side-car OUTPUT.json");
  c->add_flag("--no-contact-sheet", o->no_contact_sheet, "no contact-sheet PNG beside the video");
  option(c, "--output,-o,--output-path", o->output, "what to write: .mp4, .webm, .gif, .webp, .apng, .avi, .png, .npy or .safetensors");
}

}  // namespace program
