// tests/model/run_file_test.cpp - what is written to continue, replay and recognise a run, read back.
#include <kinema/model/cogvideox/fingerprint.hpp>
#include <kinema/model/cogvideox/request_json.hpp>
#include <kinema/model/cogvideox/run_file.hpp>

#include "support/catch.hpp"
#include "support/model_folder.hpp"

using namespace kinema;
using namespace kinema::test;
using Catch::Matchers::Contains;

namespace {

Tensor<> counted(const Shape& shape) {
  Tensor<> t = empty(shape, DType::f32);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(i) * 0.37f - 3;
  return t;
}

cogvideox::Denoising example() {
  cogvideox::Denoising state;
  state.skipped = 2;
  state.done = 5;
  state.latents = permute(counted({1, 4, 3, 2, 2}), {0, 2, 1, 3, 4});
  state.text = counted({2, 3, 4});
  state.image_latents = counted({1, 3, 4, 2, 2});
  state.sampler = {counted({1, 3, 4, 2, 2}), 499};
  state.random = {1, ~std::uint64_t{0}, std::uint64_t{1} << 63};
  return state;
}

bool same(const Tensor<>& a, const Tensor<>& b) {
  if (!a || !b) return !a && !b;
  const Tensor<> x = op::contiguous(a), y = op::contiguous(b);
  return x.dtype() == y.dtype() && x.shape() == y.shape() && std::memcmp(x.ref().data, y.ref().data, x.bytes()) == 0;
}

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

cogvideox::Request odd_request() {
  cogvideox::Request ask;
  ask.prompt = "a \"quoted\"\nline, ünïcode \x01 and 猫";
  ask.negative_prompt = std::string("\\");
  ask.num_frames = 9, ask.height = 64;
  ask.steps = 33;
  ask.guidance = 0.1 + 0.2;
  ask.dynamic_guidance = diffusion::DynamicGuidance::cosine;
  ask.sampler = diffusion::SamplerKind::dpm;
  ask.seed = static_cast<std::uint64_t>(INT64_MAX);
  ask.rng = cogvideox::Rng::philox;
  ask.strength = 1.0 / 3.0;
  ask.tile = cogvideox::VaeTile{48, 0, 0.25, 1.0 / 7.0};
  return ask;
}

std::string text_of(const cogvideox::Request& ask) {
  io::JsonWriter json;
  cogvideox::write_json(json, ask);
  return json.text();
}

}  // namespace

TEST_CASE("an unfinished run is read back as it was written", "[run_file]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.run.safetensors";
  cogvideox::Denoising state = example();
  cogvideox::write_run(path, state, 1, "{\"any\": \"thing\"}");
  for (int round = 0; round < 2; ++round) {
    const cogvideox::RunFile got = cogvideox::read_run(path);
    CHECK(got.document == "{\"any\": \"thing\"}");
    CHECK(got.state.skipped == state.skipped);
    CHECK(got.state.done == state.done);
    CHECK(same(got.state.latents, state.latents));
    CHECK(same(got.state.text, state.text));
    CHECK(same(got.state.image_latents, state.image_latents));
    CHECK(same(got.state.sampler.clean, state.sampler.clean));
    CHECK(got.state.sampler.t == state.sampler.t);
    CHECK(got.state.random == state.random);
    state.image_latents = {};
    state.sampler = {};
    cogvideox::write_run(path, state, 1, "{\"any\": \"thing\"}");
  }
  const io::Safetensors file(path);  // the latents read like any stored ones
  CHECK(file.metadata().at("layout") == "pipeline");
  CHECK(file.metadata().at("surplus_frames") == "1");
}

TEST_CASE("every flipped bit and every cut of an unfinished run is found", "[run_file]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.run.safetensors", bad = folder.path() / "bad.run.safetensors";
  cogvideox::write_run(path, example(), 0, "{}");
  const std::string whole = io::read_file(path, 1 << 20);
  std::size_t found = 0, unseen = 0;
  for (std::size_t i = 0; i < whole.size(); ++i)
    for (const int bit : {0, 3, 7}) {
      std::string text = whole;
      text[i] = static_cast<char>(text[i] ^ (1 << bit));
      io::write_file(bad, text);
      try {
        const cogvideox::RunFile got = cogvideox::read_run(bad);
        // What is not part of the run: names of the metadata that read_run() does not need, and their values.
        CHECK(same(got.state.latents, example().latents));
        CHECK(got.state.random == example().random);
        CHECK(got.document == "{}");
        ++unseen;
      } catch (const Error& e) {
        CHECK_THAT(e.what(), Contains("bad.run.safetensors"));
        ++found;
      }
    }
  CHECK(found > 40 * unseen);
  for (std::size_t n = 0; n < whole.size(); n += 7) {
    io::write_file(bad, whole.substr(0, n));
    CHECK_THROWS_AS(cogvideox::read_run(bad), Error);
  }
  io::write_safetensors(bad, {{"latents", example().latents}});
  CHECK_THAT(message_of([&] { cogvideox::read_run(bad); }), Contains("holds no unfinished run"));
}

TEST_CASE("requests go through JSON without loss", "[request]") {
  const std::string text = text_of(odd_request());
  const cogvideox::Request got = cogvideox::read_request(io::Json::parse(text, "r.json"));
  CHECK(text_of(got) == text);
  CHECK(got.prompt == odd_request().prompt);
  CHECK(got.guidance == odd_request().guidance);
  CHECK(got.seed == odd_request().seed);
  CHECK(got.strength == odd_request().strength);
  CHECK(got.tile->overlap_width == 1.0 / 7.0);
  CHECK(got.width == std::nullopt);
  CHECK(text_of(cogvideox::read_request(io::Json::parse(text_of({}), "r.json"))) == text_of({}));
}

TEST_CASE("requests in JSON are refused with file and field", "[request]") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"steps": 0})", "r.json: /steps: must be an integer from 1"},
      {R"({"steps": 2.0})", "r.json: /steps"},
      {R"({"steps": "2"})", "r.json: /steps"},
      {R"({"cfg_scale": -1})", "r.json: /cfg_scale"},
      {R"({"strength": 0})", "r.json: /strength: must be a number above 0"},
      {R"({"seed": -1})", "r.json: /seed"},
      {R"({"seed": 9223372036854775808})", "r.json: /seed"},
      {R"({"rng": "mt"})", "torch-cpu, philox, got \"mt\""},
      {R"({"scheduler": "euler"})", "ddim, dpm, got \"euler\""},
      {R"({"dynamic_cfg": true})", "r.json: /dynamic_cfg"},
      {R"({"prompt": null})", "r.json: /prompt"},
      {R"({"prmpt": "x"})", "unknown field \"prmpt\""},
      {R"({"vae_tile": {"size": 3}})", "unknown field \"size\""},
      {R"([])", "r.json"}};
  for (const auto& [text, words] : cases) CHECK_THAT(message_of([&, t = text] { cogvideox::read_request(io::Json::parse(t, "r.json")); }), Contains(words));
}

TEST_CASE("a fingerprint tells models apart and copies not", "[fingerprint]") {
  const GoldenCase golden("pipeline_2b");
  const TemporaryFolder a, b;
  write_model_folder(golden, a.path());
  write_model_folder(golden, b.path());
  const auto of = [](const TemporaryFolder& f) { return cogvideox::fingerprint(cogvideox::ModelFolder::open(f.path())); };
  const std::string first = of(a);
  CHECK(first.size() == 64);
  CHECK(of(b) == first);
  const auto weights = b.path() / "transformer/diffusion_pytorch_model.safetensors";
  std::string bytes = io::read_file(weights, 1 << 26);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  io::write_file(weights, bytes);
  CHECK(of(b) != first);
}
