// benchmarks/model/transformer_bench.cpp - one block of the expert transformer, and one guided step of a shallow model.
#include "support/roofline.hpp"

#include <kinema/diffusion/ddim.hpp>
#include <kinema/diffusion/guidance.hpp>
#include <kinema/model/cogvideox/transformer.hpp>

#include <memory>

namespace kinema::benchmarks {
namespace {

template <class M>
void fill(M& module, DType dtype) {
  std::uint64_t seed = 1;
  nn::for_each_parameter(module, [&](const std::string&, nn::Parameter& p) { p.set(random(p.shape(), dtype, ++seed, 0.02f)); });
}

/// 2B has no rotary embedding, 5B has.
void dit_block(DType dtype, const Model& model, std::int64_t s) {
  cogvideox::TransformerConfig c;
  c.num_attention_heads = model.heads;
  c.use_rotary_positional_embeddings = model.width == model_5b.width;
  const auto block = std::make_shared<cogvideox::Block>(c);
  const double n = static_cast<double>(s), d = static_cast<double>(model.width), weights = static_cast<double>(nn::count_parameters(*block));
  const Work work{24 * n * d * d + 4 * n * n * d + 4.0 * 512 * 6 * d, (weights + 2 * n * d) * static_cast<double>(size_of(dtype))};
  add(row_name("model/dit_block", dtype, {1, s, model.width}), work, [=] {
    fill(*block, dtype);
    const std::int64_t video = s - text_tokens;
    cogvideox::RotaryTable rotary;
    if (c.use_rotary_positional_embeddings) rotary = {random({video, head_width}, DType::f32, 5), random({video, head_width}, DType::f32, 6)};
    const Tensor<> e = random({1, c.time_embed_dim}, dtype), runs = tensor_of(std::vector<std::int64_t>{text_tokens, 1, s, 0}, {2, 2});
    return [=, x = random({1, s, model.width}, dtype)]() mutable {
      (*block)(x, e, rotary, runs, text_tokens);
      benchmark::DoNotOptimize(x.ref().data);
    };
  });
}

/// Both guidance branches as one batch of two, guidance, and the sampler's step: 2B width, two layers, 9x240x352.
void denoise_step(DType dtype) {
  cogvideox::TransformerConfig c;
  c.num_layers = 2;
  c.sample_height = 30, c.sample_width = 44, c.sample_frames = 9;
  const auto model = std::make_shared<cogvideox::Transformer>(c);
  const double n = static_cast<double>(small_clip_tokens), d = static_cast<double>(c.width()), text = static_cast<double>(text_tokens);
  const double flops = 2 * (24 * n * d * d + 4 * n * n * d) + 2 * text * 4096 * d + 4 * (n - text) * 64 * d;
  const Work work{2 * flops, static_cast<double>(nn::count_parameters(*model)) * static_cast<double>(size_of(dtype))};
  add(cat("model/denoise_step/", dtype, "/2layers_9x240x352"), work, [=] {
    fill(*model, dtype);
    const Tensor<> x = random({1, 3, 16, 30, 44}, DType::f32), words = random({2, text_tokens, 4096}, dtype);
    const auto positions = model->positions(3, 30, 44);
    diffusion::SchedulerConfig published;
    published.prediction_type = "v_prediction";
    published.timestep_spacing = "trailing";
    published.rescale_betas_zero_snr = true;
    const auto schedule = std::make_shared<diffusion::Schedule>(published);
    return [=] {
      const std::vector<std::int64_t> t{999, 999};
      const Tensor<> both = op::cast((*model)(op::cast(op::concat({x, x}, 0), dtype), words, t, positions), DType::f32);
      const Tensor<> v = diffusion::guide(narrow(both, 0, 0, 1), narrow(both, 0, 1, 1), 6.0);
      Generator unused(0);
      benchmark::DoNotOptimize(diffusion::Ddim(*schedule, 50).step(v, x, 999, unused).ref().data);
    };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    dit_block(dtype, model_2b, small_clip_tokens);
    dit_block(dtype, model_5b, small_clip_tokens);
    denoise_step(dtype);
  }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
