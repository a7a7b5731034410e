// tests/model/pipeline_test.cpp - whole pipelines against the reference: five variants, text-, image- and video-to-video.
#include <kinema/model/cogvideox/pipeline.hpp>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/model_folder.hpp"

#include <set>
#include <thread>

using namespace kinema;
using namespace kinema::test;

namespace {

const char* const cases[] = {"pipeline_2b", "pipeline_5b", "pipeline_5b_i2v", "pipeline_15", "pipeline_15_i2v"};

cogvideox::Request request_of(const io::Json& run) {
  cogvideox::Request ask;
  ask.prompt = run.string("prompt");
  ask.negative_prompt = run.string("negative_prompt");
  ask.num_frames = run.integer("num_frames");
  ask.height = run.integer("height");
  ask.width = run.integer("width");
  ask.steps = run.integer("num_inference_steps");
  ask.guidance = run.number("guidance_scale");
  ask.seed = static_cast<std::uint64_t>(run.integer("seed"));
  ask.dynamic_guidance = run.boolean("use_dynamic_cfg") ? diffusion::DynamicGuidance::reference : diffusion::DynamicGuidance::off;
  ask.sampler = run.string("scheduler") == "dpm" ? diffusion::SamplerKind::dpm : diffusion::SamplerKind::ddim;
  if (run.has("image")) ask.image = filled_pixels("in.image", GoldenCase::shape_of(run.integers("image")));
  if (run.has("video")) ask.video = filled_pixels("in.video", GoldenCase::shape_of(run.integers("video")));
  if (run.has("strength")) ask.strength = run.number("strength");
  return ask;
}

}  // namespace

TEST_CASE("latents of whole pipelines equal the reference after every step", "[pipeline][golden]") {
  for (const char* name : cases) {
    const GoldenCase golden(name);
    const TemporaryFolder folder;
    write_model_folder(golden, folder.path());
    const io::Json runs = golden.json.at("runs");
    for (const std::string& run_name : runs.keys()) {
      const io::Json run = runs.at(run_name);
      if (run.has("timestep_spacing")) continue;  // see the next test
      INFO(name << " " << run_name);
      auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
      cogvideox::Callbacks callbacks;
      callbacks.on_state = [&](const cogvideox::Denoising& state) {
        const std::string stored = cat(run_name, ".latents.", state.done);
        if (golden.has(stored)) golden.check(stored, state.latents, state.done == 0 ? 5e-6 : 1e-4);
      };
      pipeline.set_callbacks(callbacks);
      golden.check(run_name + ".latents.final", pipeline.sample(request_of(run)), 1e-4);
    }
  }
}

TEST_CASE("the spacing of the scheduler's file is kept whatever sampler is asked for", "[pipeline][golden]") {
  const GoldenCase golden("pipeline_2b");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path());
  const auto file = folder.path() / "scheduler/scheduler_config.json";
  std::string text = io::read_file(file, 1 << 20);
  const std::size_t at = text.find("\"trailing\"");
  REQUIRE(at != std::string::npos);
  io::write_file(file, text.replace(at, 10, "\"linspace\""));
  const auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
  golden.check("t2v.ddim.linspace.latents.final", pipeline.sample(request_of(golden.json.at("runs").at("t2v.ddim.linspace"))), 1e-4);
}

TEST_CASE("the same bits for 1 to 16 threads, from the prompt to the frames", "[pipeline][threads]") {
  const GoldenCase golden("pipeline_5b");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path());
  cogvideox::Request ask = request_of(golden.json.at("runs").at("t2v.dpm"));
  ask.steps = 2;
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 5, 16}) {
    CpuContext context(threads);
    const CpuScope scope(context);
    std::vector<float> frames;
    cogvideox::Pipeline::load(folder.path(), DType::f32).generate(ask, [&](const Tensor<>& f, std::int64_t) { frames.insert(frames.end(), f.data<float>(), f.data<float>() + f.numel()); });
    if (first.empty()) first = frames;
    CHECK(frames.size() == 9u * 32 * 48 * 3);
    CHECK(frames == first);
  }
}

TEST_CASE("bf16 and f16 runs stay near the f32 run", "[pipeline]") {
  const GoldenCase golden("pipeline_15");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path(), DType::bf16);
  cogvideox::Request ask = request_of(golden.json.at("runs").at("t2v.ddim"));
  ask.steps = 4;
  const Tensor<> exact = cogvideox::Pipeline::load(folder.path(), DType::f32).sample(ask);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const Tensor<> rounded = cogvideox::Pipeline::load(folder.path(), dtype).sample(ask);
    double error = 0, size = 0;
    for (std::int64_t i = 0; i < exact.numel(); ++i) {
      const double x = exact.data<float>()[i], d = rounded.data<float>()[i] - x;
      error += d * d, size += x * x;
    }
    // Three blocks and four guided steps: some ten roundings in a row, each amplified by guidance 6.
    CAPTURE(dtype == DType::bf16, std::sqrt(error / size));
    CHECK(std::sqrt(error / size) < (dtype == DType::bf16 ? 0.1 : 0.015));
    CHECK(error > 0);
  }
}

namespace {

bool same(const Tensor<>& a, const Tensor<>& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.ref().data, b.ref().data, a.bytes()) == 0;
}

std::vector<float> frames_of(const cogvideox::Pipeline& pipeline, const cogvideox::Request& ask, const Stop& stop = {}) {
  std::vector<float> frames;
  pipeline.generate(ask, [&](const Tensor<>& f, std::int64_t) { frames.insert(frames.end(), f.data<float>(), f.data<float>() + f.numel()); }, stop);
  return frames;
}

}  // namespace

TEST_CASE("a denoising continues from any step with the same bits", "[pipeline]") {
  const std::pair<const char*, const char*> runs[] = {{"pipeline_5b", "t2v.dpm"}, {"pipeline_2b", "t2v.ddim"}, {"pipeline_5b", "v2v.ddim"}, {"pipeline_15_i2v", "i2v.dpm"}};
  for (const auto& [name, run] : runs) {
    for (const cogvideox::Rng rng : {cogvideox::Rng::torch_cpu, cogvideox::Rng::philox}) {
      INFO(name << " " << run);
      const GoldenCase golden(name);
      const TemporaryFolder folder;
      write_model_folder(golden, folder.path());
      cogvideox::Request ask = request_of(golden.json.at("runs").at(run));
      ask.steps = 6;
      ask.rng = rng;
      auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
      std::vector<cogvideox::Denoising> states;
      cogvideox::Callbacks callbacks;
      callbacks.on_state = [&](const cogvideox::Denoising& state) { states.push_back(state); };
      pipeline.set_callbacks(callbacks);
      const Tensor<> whole = pipeline.sample(ask);
      REQUIRE(states.size() >= 3);
      pipeline.set_callbacks({});
      cogvideox::Request later = ask;  // what denoises needs neither image nor video any more
      later.num_frames = pipeline.check(ask).frames;
      later.image = later.video = {};
      for (cogvideox::Denoising state : states) {
        pipeline.denoise(later, state);
        CHECK(same(state.latents, whole));
      }
    }
  }
}

TEST_CASE("a call ends soon after its stop is requested, and the pipeline works again", "[pipeline][stop]") {
  const GoldenCase golden("pipeline_5b");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path());
  cogvideox::Request ask = request_of(golden.json.at("runs").at("v2v.ddim"));
  ask.steps = 3, ask.strength = 1;
  auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
  std::vector<std::string> stages;
  cogvideox::Callbacks callbacks;
  callbacks.on_stage = [&](std::string_view name, std::int64_t) { stages.emplace_back(name); };
  pipeline.set_callbacks(callbacks);
  std::int64_t asked = 0;
  const std::vector<float> whole = frames_of(pipeline, ask, [&] { return ++asked, false; });
  const std::int64_t all = asked;
  REQUIRE(stages == std::vector<std::string>{"text", "encode", "load", "denoise", "decode"});
  REQUIRE(all > 500);  // far more often than there are blocks, in every stage
  std::set<std::string> stopped_in;
  for (std::int64_t at = 1; at < all; at += all / 60) {
    stages.clear();
    asked = 0;
    CHECK_THROWS_AS(frames_of(pipeline, ask, [&] { return ++asked >= at; }), Interrupted);
    CHECK(asked == at);  // nothing is asked, so nothing is computed, after the answer was yes
    if (!stages.empty()) stopped_in.insert(stages.back());
  }
  CHECK(stopped_in.size() == 5);
  std::stop_source source;
  CHECK(frames_of(pipeline, ask, source.get_token()) == whole);
  source.request_stop();
  CHECK_THROWS_AS(frames_of(pipeline, ask, source.get_token()), Interrupted);
  CHECK(frames_of(pipeline, ask) == whole);

  cogvideox::Denoising state = pipeline.begin(ask);
  const Tensor<> latents = pipeline.sample(ask);
  while (state.done < 3) {  // one step at a time, by stopping in the middle of the next
    const std::int64_t before = state.done;
    CHECK_THROWS_AS(pipeline.denoise(ask, state, [&, calls = 0]() mutable { return state.done > before && ++calls > 20; }), Interrupted);
    CHECK(state.done == before + 1);
    if (state.done == 2) break;
  }
  pipeline.denoise(ask, state);
  CHECK(same(state.latents, latents));
}

TEST_CASE("two threads with clones of one pipeline make the same videos as one", "[pipeline][threads]") {
  const GoldenCase golden("pipeline_15");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path());
  cogvideox::Request ask = request_of(golden.json.at("runs").at("t2v.ddim")), other = ask;
  ask.steps = other.steps = 3;
  other.prompt = "something else", other.seed = 7;
  const auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
  const std::vector<float> first = frames_of(pipeline, ask), second = frames_of(pipeline, other);
  REQUIRE(first != second);
  const auto held = pipeline.transformer();
  CHECK(pipeline.clone().transformer() == held);
  std::vector<float> got[2];
  std::vector<std::jthread> threads;
  for (const int i : {0, 1})
    threads.emplace_back([&, i, mine = std::make_shared<cogvideox::Pipeline>(pipeline.clone())] {
      CpuContext context(1);
      const CpuScope scope(context);
      for (int repeat = 0; repeat < 2; ++repeat) got[i] = frames_of(*mine, i == 0 ? ask : other);
    });
  threads.clear();
  CHECK(got[0] == first);
  CHECK(got[1] == second);
}

TEST_CASE("embeddings instead of prompts give the same latents, and stages are timed", "[pipeline]") {
  const GoldenCase golden("pipeline_2b");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path());
  cogvideox::Request ask = request_of(golden.json.at("runs").at("t2v.ddim"));
  ask.steps = 2;
  const auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
  const cogvideox::Result result = pipeline.generate(ask, [](const Tensor<>&, std::int64_t) {});
  std::string names;
  for (const cogvideox::StageTime& stage : result.stages) {
    names += stage.name + " ";
    CHECK(stage.seconds > 0);
  }
  CHECK(names == "text load denoise decode ");
  cogvideox::Request by_embeds = ask;
  by_embeds.prompt_embeds = pipeline.encode_prompt(ask.prompt);
  by_embeds.prompt = "not read";
  CHECK(same(pipeline.sample(by_embeds), result.latents));
  by_embeds.negative_prompt_embeds = pipeline.encode_prompt(ask.negative_prompt);
  by_embeds.negative_prompt = "not read";
  CHECK(same(pipeline.sample(by_embeds), result.latents));
  by_embeds.prompt_embeds = zeros({1, 3, 32}, DType::f32);
  CHECK_THROWS_AS(pipeline.check(by_embeds), ShapeError);
}

TEST_CASE("requests are refused with the rule", "[pipeline]") {
  const GoldenCase golden("pipeline_5b");
  const TemporaryFolder folder;
  write_model_folder(golden, folder.path());
  const auto pipeline = cogvideox::Pipeline::load(folder.path(), DType::f32);
  const auto message = [&](auto change) {
    cogvideox::Request ask = request_of(golden.json.at("runs").at("t2v.ddim"));
    change(ask);
    try { pipeline.check(ask); } catch (const ArgumentError& e) { return std::string(e.what()); }
    return std::string("accepted");
  };
  using Catch::Matchers::Contains;
  CHECK(message([](auto& a) { a.num_frames = 5; }) == "accepted");
  CHECK_THAT(message([](auto& a) { a.num_frames = 10; }), Contains("nearest is 9"));
  CHECK_THAT(message([](auto& a) { a.num_frames = 16; }), Contains("nearest is 17"));
  CHECK_THAT(message([](auto& a) { a.num_frames = 0; }), Contains("nearest is 1"));
  CHECK_THAT(message([](auto& a) { a.height = 40; }), Contains("multiple of 16"));
  CHECK_THAT(message([](auto& a) { a.width = -16; }), Contains("width"));
  CHECK_THAT(message([](auto& a) { a.height = std::int64_t{1} << 40; }), Contains("height"));
  CHECK_THAT(message([](auto& a) { a.steps = 1001; }), Contains("1 to 1000"));
  CHECK_THAT(message([](auto& a) { a.strength = 0; }), Contains("strength"));
  CHECK_THAT(message([](auto& a) { a.image = filled_pixels("x", {16, 16, 3}); }), Contains("text-to-video model"));
  const auto sizes = pipeline.check(request_of(golden.json.at("runs").at("t2v.ddim")));
  CHECK(sizes.latent_frames == 3);
  CHECK(sizes.decoded_frames == 9);
}
