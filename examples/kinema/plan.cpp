// examples/kinema/plan.cpp - kinema plan: what a run will need, without its weights and in milliseconds.
#include "command_line.hpp"
#include "placement.hpp"
#include "session.hpp"

#include <kinema/model/cogvideox/presets.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>

namespace program {
namespace {

using namespace kinema;

struct Options {
  Common common;
  TilingOptions tiling;
  MemoryOptions memory;
  Text preset, frames, height, width, steps, guidance, video_frames;
  bool json = false;
};

/// Whether a component's folder holds anything that could be weights.
bool has_weights(const std::string& folder) {
  for (const char* component : {"transformer", "vae", "text_encoder"}) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(folder) / component, error)) {
      const std::string name = entry.path().filename().string();
      for (const char* end : {".safetensors", ".index.json", ".bin", ".ckpt", ".pt"})
        if (name.size() >= std::string_view(end).size() && name.compare(name.size() - std::string_view(end).size(), std::string::npos, end) == 0) return true;
    }
  }
  return false;
}

struct Source { PlannedModel model; DType dtype; };

Source source_of(const Options& o) {
  const std::optional<DType> dtype = o.common.compute_dtype();
  if (o.common.model && o.preset) usage_error("--model and --preset exclude each other");
  if (o.preset) {
    const cogvideox::Preset p = cogvideox::preset(*o.preset);
    return {PlannedModel(p.config, p.dtype, dtype.value_or(p.dtype)), dtype.value_or(p.dtype)};
  }
  const std::string folder = o.common.model_folder();
  if (has_weights(folder)) {
    const cogvideox::Pipeline pipeline = cogvideox::Pipeline::load(folder, dtype);
    for (const std::string& remark : pipeline.folder().remarks()) warn(remark);
    // The types are copied, so that the files need not stay open.
    return {PlannedModel(pipeline), pipeline.dtype()};
  }
  return {PlannedModel(cogvideox::ModelFolder::read_config(folder), DType::bf16, dtype.value_or(DType::bf16)), dtype.value_or(DType::bf16)};
}

void plan(const Options& o) {
  const auto size_flag = [](const char* flag, const Text& t) { return t ? std::optional(integer(flag, *t, 1, 1'000'000)) : std::nullopt; };
  const auto frames = size_flag("--num-frames", o.frames), height = size_flag("--height", o.height), width = size_flag("--width", o.width);
  const auto steps = size_flag("--steps", o.steps), video = size_flag("--init-video-frames", o.video_frames);
  const double guidance = o.guidance ? number("--cfg-scale", *o.guidance, 0, 1e6) : 6;
  o.memory.limit();
  o.common.compute_device();
  const int threads = o.common.thread_count();
  if (!o.common.model && !o.preset) usage_error("--model: is required (or --preset)");
  const Source source = source_of(o);
  const cogvideox::PipelineConfig& c = source.model.config;
  cogvideox::PlanRequest ask;
  try {
    ask.size = cogvideox::clip_size(c.factors(), frames.value_or(c.transformer.sample_frames), height.value_or(c.default_height()), width.value_or(c.default_width()));
    diffusion::Schedule(c.scheduler).timesteps(steps.value_or(50));
  } catch (const ArgumentError& e) {
    usage_error("--", e.what());
  }
  ask.steps = steps.value_or(50);
  ask.guided = guidance > 1;
  ask.encoded_frames = c.image_to_video ? 1 : video.value_or(0);
  ask.dtype = source.dtype;
  ask.quantized = o.memory.quantized().value_or(false);
  ask.threads = threads;
  const cogvideox::Plan plan = place(source.model, ask, o.tiling, o.memory);
  std::fputs((o.json ? plan_json(source.model, ask, plan) : plan_text(source.model, ask, plan)).c_str(), stdout);
}

}  // namespace

void add_plan(CommandLine& line) {
  auto o = std::make_shared<Options>();
  CLI::App* c = line.command("plan", "memory and work of a run, stage by stage; a folder with configurations alone is enough", [o] { plan(*o); });
  o->common.add_to(c);
  option(c, "--preset", o->preset, "a released configuration instead of --model: cogvideox-2b, 5b, 5b-i2v, 1.5-5b, 1.5-5b-i2v or tiny");
  option(c, "--num-frames,--video-frames", o->frames, "frames (default: what the checkpoint was trained for)");
  option(c, "--height,-H", o->height, "pixels (default: the checkpoint's)");
  option(c, "--width,-W", o->width, "pixels (default: the checkpoint's)");
  option(c, "--steps,--num-inference-steps", o->steps, "denoising steps (default: 50)");
  option(c, "--cfg-scale,--guidance-scale", o->guidance, "classifier-free guidance, off at 1 or less (default: 6)");
  option(c, "--init-video-frames", o->video_frames, "frames of an initial video that are encoded first");
  o->tiling.add_to(c);
  o->memory.add_to(c);
  c->add_flag("--json", o->json, "print JSON");
}

}  // namespace program
