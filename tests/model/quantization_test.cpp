// tests/model/quantization_test.cpp - pipelines with 8-bit weights: memory, results, errors of blocks.
#include <kinema/model/cogvideox/plan.hpp>
#include <kinema/model/cogvideox/presets.hpp>
#include <kinema/model/cogvideox/quantization_error.hpp>

#include "support/catch.hpp"
#include "support/model_folder.hpp"

#include <map>

using namespace kinema;
using namespace kinema::test;

namespace {

cogvideox::Request short_request() {
  cogvideox::Request ask;
  ask.prompt = "a b";
  ask.num_frames = 9, ask.height = 64, ask.width = 64;
  ask.steps = 2;
  return ask;
}

std::vector<float> values(const Tensor<>& t) { return {t.data<float>(), t.data<float>() + t.numel()}; }

}  // namespace

TEST_CASE("a pipeline with 8-bit weights stays near the stored ones, in half of their memory", "[pipeline][quantize]") {
  const TemporaryFolder folder;
  cogvideox::write_random_model(cogvideox::preset("tiny"), folder.path() / "m", 3);
  auto pipeline = cogvideox::Pipeline::load(folder.path() / "m", DType::f32);
  const auto clone = pipeline.clone();
  const std::vector<float> stored = values(pipeline.sample(short_request()));
  const auto held = clone.transformer();
  pipeline.quantize_weights(true);
  const std::vector<float> small = values(pipeline.sample(short_request()));
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    error += std::pow(static_cast<double>(small[i]) - static_cast<double>(stored[i]), 2);
    norm += std::pow(static_cast<double>(stored[i]), 2);
  }
  CHECK(error > 0);  // also while a clone holds the stored weights
  CHECK(std::sqrt(error / norm) < 0.05);
  CHECK(values(clone.sample(short_request())) == stored);
  CHECK(pipeline.transformer()->transformer_blocks[1].ff.down.weight.value().dtype() == DType::i8);
  CHECK(pipeline.transformer()->proj_out.weight.value().dtype() == DType::bf16);
  CHECK(held->transformer_blocks[1].ff.down.weight.value().dtype() == DType::bf16);
  pipeline.quantize_weights(false);
  CHECK(values(pipeline.sample(short_request())) == stored);
}

TEST_CASE("weights cannot be quantized and streamed at once", "[pipeline][quantize]") {
  const TemporaryFolder folder;
  cogvideox::write_random_model(cogvideox::preset("tiny"), folder.path() / "m", 3);
  auto pipeline = cogvideox::Pipeline::load(folder.path() / "m");
  pipeline.quantize_weights(true);
  CHECK_FALSE(pipeline.streams());
  CHECK_THROWS_AS(pipeline.stream_weights(true), Unsupported);
  pipeline.quantize_weights(false);
  pipeline.stream_weights(true);
  CHECK_THROWS_AS(pipeline.quantize_weights(true), Unsupported);
}

TEST_CASE("the plan of 8-bit weights is half of 16 bits, and what the pool then holds", "[plan][quantize]") {
  const cogvideox::Preset large = cogvideox::preset("5b");
  cogvideox::PlanRequest ask;
  ask.size = cogvideox::clip_size(large.config.factors(), 49, 480, 720);
  ask.dtype = DType::bf16;
  const auto stored = [](const std::string&, const std::string&) { return DType::bf16; };
  const cogvideox::Plan before = cogvideox::plan(large.config, ask, stored);
  ask.quantized = true;
  const cogvideox::Plan after = cogvideox::plan(large.config, ask, stored);
  for (const std::size_t stage : {0, 1}) {
    CAPTURE(before.stages[stage].name);
    CHECK(after.stages[stage].weights == Approx(0.5 * before.stages[stage].weights).epsilon(stage == 0 ? 0.03 : 0.01));  // T5's table of embeddings stays
    CHECK(after.stages[stage].flops == before.stages[stage].flops);
  }
  CHECK(after.stages[2].bytes() == before.stages[2].bytes());  // the VAE is not touched

  const TemporaryFolder folder;
  const cogvideox::Preset tiny = cogvideox::preset("tiny");
  cogvideox::write_random_model(tiny, folder.path() / "m", 3);
  auto pipeline = cogvideox::Pipeline::load(folder.path() / "m");
  ask.size = cogvideox::clip_size(tiny.config.factors(), 9, 64, 64);
  const cogvideox::StagePlan denoise = cogvideox::plan(tiny.config, ask, stored).stages[1];
  CpuContext context(1);
  const CpuScope scope(context);
  pipeline.quantize_weights(true);
  const auto held = pipeline.transformer();
  const double scratch = static_cast<double>(context.arena.held());
  CHECK(static_cast<double>(context.pool->statistics().live) - scratch == Approx(denoise.weights - denoise.mapped).epsilon(1e-9));
}

TEST_CASE("the error of every block with 8-bit weights is small and its own", "[quantize]") {
  const TemporaryFolder folder;
  cogvideox::write_random_model(cogvideox::preset("tiny"), folder.path() / "m", 3);
  const auto pipeline = cogvideox::Pipeline::load(folder.path() / "m", DType::f32);
  std::map<std::string, double> errors;
  const auto note = [&](const std::string& block, double error) { errors[block] = error; };
  const auto encoder = pipeline.text_encoder();
  const Tensor<> ids = zeros({1, 32}, DType::i64);
  cogvideox::quantization_errors(*encoder, ids, DType::f32, note);
  const auto network = pipeline.transformer();
  Generator random(5);
  const Tensor<> latents = random.normal({1, 3, 16, 8, 8}), text = random.normal({1, 32, 32});
  const std::vector<std::int64_t> time{500};
  cogvideox::quantization_errors(*network, latents, text, time, network->positions(3, 8, 8), note);
  REQUIRE(errors.size() == 4);
  for (const auto& [block, error] : errors) {
    CAPTURE(block, error);
    CHECK(error > 1e-4);
    CHECK(error < 0.02);
  }
  // The blocks are those of the network: the last one's output leads to the network's own.
  cogvideox::Transformer copy = nn::quantized(*network);
  const Tensor<> a = (*network)(latents, text, time, network->positions(3, 8, 8)), b = copy(latents, text, time, network->positions(3, 8, 8));
  const double whole = nn::contribution_error(b, a, zeros(a.shape(), DType::f32));
  CHECK(whole > 1e-4);
  CHECK(whole < 0.03);
}
