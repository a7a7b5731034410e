// A plan is what the run takes: rehearsed stages against the pool's own count of real ones.
#include "support/catch.hpp"

#include <kinema/model/cogvideox/plan.hpp>
#include <kinema/model/cogvideox/presets.hpp>

using namespace kinema;

namespace {

template <class M>
void fill(M& module) {
  nn::for_each_parameter(module, [](const std::string&, nn::Parameter& p) { p.set(full(p.shape(), 0.01, DType::f32)); });
}

/// Peak of the pool while `run` works, above what was live before.
template <class Run>
double measured(CpuContext& ctx, const Run& run) {
  ctx.pool->reset_peak();
  const std::size_t before = ctx.pool->statistics().live;
  run();
  return static_cast<double>(ctx.pool->statistics().peak - before);
}

const cogvideox::StagePlan& stage(const cogvideox::Plan& plan, const std::string& name) {
  for (const auto& s : plan.stages)
    if (s.name == name) return s;
  throw ArgumentError("no stage " + name);
}

}  // namespace

TEST_CASE("Plan: a rehearsal counts the bytes of the run itself") {
  const cogvideox::PipelineConfig c = cogvideox::preset("tiny").config;
  for (const int threads : {1, 2}) {
    cogvideox::PlanRequest ask;
    ask.size = cogvideox::clip_size(c.factors(), 17, 64, 96);
    ask.threads = threads;
    ask.encoded_frames = 17;
    const cogvideox::Plan plan = cogvideox::plan(c, ask, [](const std::string&, const std::string&) { return DType::f32; });
    const auto working = [&](const char* name) { const auto& s = stage(plan, name); return s.bytes() - s.mapped; };

    CpuContext ctx(threads);
    const CpuScope scope(ctx);
    {
      cogvideox::Vae vae(c.vae);
      fill(vae);
      const double real = measured(ctx, [&] {
        const Tensor<> latents = zeros({1, c.vae.latent_channels, ask.size.latent_frames, ask.size.latent_height, ask.size.latent_width}, DType::f32);
        vae.decode_stream(latents, [](const Tensor<>& pixels, std::int64_t) { cogvideox::frames_from_pixels(pixels); });
      });
      CHECK(real == Approx(working("decode")).epsilon(0.01));
      ctx.arena.clear();
    }
    {
      cogvideox::Transformer transformer(c.transformer);
      fill(transformer);
      const Shape shape{2, ask.size.latent_frames, c.transformer.in_channels, ask.size.latent_height, ask.size.latent_width};
      const double real = measured(ctx, [&] {
        const Tensor<> latents = zeros(shape.with(0, 1), DType::f32), input = op::concat({latents, latents}, 0);
        const Tensor<> text = zeros({2, c.transformer.max_text_seq_length, c.transformer.text_embed_dim}, DType::f32);
        transformer(input, text, std::vector<std::int64_t>{500, 500}, transformer.positions(shape[1], shape[3], shape[4]));
      });
      CHECK(real == Approx(working("denoise")).epsilon(0.05));
      ctx.arena.clear();
    }
    {
      t5::Encoder encoder(c.text);
      fill(encoder);
      const double real = measured(ctx, [&] { encoder(zeros({2, c.transformer.max_text_seq_length}, DType::i64), DType::f32); });
      CHECK(real == Approx(working("text")).epsilon(0.01));
    }
  }
}

TEST_CASE("Plan: a rehearsal leaves the thread as it was and computes nothing") {
  const Tensor<> x = full({4, 4}, 2.0, DType::f32);
  {
    const DryRun dry(1);
    const Tensor<> y = op::add(x, x);
    CHECK(y.shape() == x.shape());
    CHECK(dry.live() >= y.bytes());
  }
  const Tensor<> y = op::add(x, x);
  CHECK(y.data<float>()[15] == 4.0f);
}

TEST_CASE("Plan: guidance, steps and size change what they should") {
  const cogvideox::Preset p = cogvideox::preset("cogvideox-2b");
  const auto planned = [&](std::int64_t frames, bool guided, std::int64_t steps) {
    cogvideox::PlanRequest ask;
    ask.size = cogvideox::clip_size(p.config.factors(), frames, 480, 720);
    ask.guided = guided, ask.steps = steps, ask.dtype = p.dtype;
    return cogvideox::plan(p.config, ask, [&](const std::string&, const std::string&) { return p.dtype; });
  };
  const auto base = planned(49, true, 50);
  CHECK(stage(base, "denoise").flops == Approx(2 * stage(planned(49, false, 50), "denoise").flops).epsilon(1e-3));
  CHECK(stage(base, "denoise").flops == Approx(50 * stage(planned(49, true, 1), "denoise").flops).epsilon(1e-12));
  CHECK(stage(base, "denoise").flops == Approx(12e15).epsilon(0.02));  // "2B 12 PFLOP" for 49 frames of 480x720, 50 steps
  // Decoding streams: its memory does not grow with the clip.
  CHECK(stage(planned(161, true, 50), "decode").bytes() == Approx(stage(base, "decode").bytes()).epsilon(0.01));
}
