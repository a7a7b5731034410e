// tests/model/scheduler_test.cpp - schedules, time steps, both samplers step by step and guidance against the reference.
#include <kinema/diffusion/guidance.hpp>
#include <kinema/diffusion/sampler.hpp>

#include "support/catch.hpp"
#include "support/golden.hpp"

#include <algorithm>
#include <span>
#include <vector>

using namespace kinema;
using namespace kinema::diffusion;
using namespace kinema::test;

namespace {

SchedulerConfig config_of(const io::Json& j) {
  SchedulerConfig c;
  c.num_train_timesteps = j.integer("num_train_timesteps");
  c.beta_start = j.number("beta_start"), c.beta_end = j.number("beta_end");
  c.beta_schedule = j.string("beta_schedule");
  c.prediction_type = j.string("prediction_type"), c.timestep_spacing = j.string("timestep_spacing");
  c.rescale_betas_zero_snr = j.boolean("rescale_betas_zero_snr"), c.set_alpha_to_one = j.boolean("set_alpha_to_one");
  c.steps_offset = j.integer("steps_offset");
  c.snr_shift_scale = j.number("snr_shift_scale");
  return c;
}

std::uint64_t fnv1a64(const std::vector<std::int64_t>& entries) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::int64_t entry : entries)
    for (int byte = 0; byte < 8; ++byte) hash = (hash ^ (static_cast<std::uint64_t>(entry) >> (8 * byte) & 0xff)) * 0x100000001b3;
  return hash;
}

/// The fixture's noise: draw k of step i.
class StoredNoise : public NormalSource {
 public:
  explicit StoredNoise(std::int64_t step) : step_(step) {}
  void normal(std::span<float> out) override {
    const Tensor<> noise = filled_input(cat("in.noise.", step_, ".", draw_++), {static_cast<std::int64_t>(out.size())});
    std::copy_n(noise.data<float>(), out.size(), out.begin());
  }
  std::vector<std::uint64_t> state() const override { return {}; }
  void restore(std::span<const std::uint64_t>) override {}

 private:
  std::int64_t step_, draw_ = 0;
};

}  // namespace

TEST_CASE("cumulative alphas of every kind of schedule equal the reference's", "[scheduler][golden]") {
  const GoldenCase golden("scheduler_tables");
  const io::Json calls = golden.json.at("call");
  for (const std::string& name : calls.keys()) {
    CAPTURE(name);
    const Tensor<> want = op::cast(golden.stored(name), DType::f64);
    const Schedule schedule(config_of(calls.at(name)));
    REQUIRE(static_cast<std::int64_t>(schedule.alphas().size()) == want.numel());
    // The reference keeps these two in f32: some ulps, and near zero what the rescaling's difference leaves of them.
    const bool single = name == "linear" || name == "squaredcos";
    const double relative = single ? 5e-6 : 1e-9, absolute = single ? 1e-10 : 1e-14;
    for (std::int64_t t = 0; t < want.numel(); ++t) {
      const double expected = want.data<double>()[t];
      CAPTURE(t, expected);
      REQUIRE(std::abs(schedule.alphas()[static_cast<std::size_t>(t)] - expected) <= absolute + relative * expected);
    }
  }
}

TEST_CASE("time steps of 1 to 1000 steps in every spacing are the reference's", "[scheduler][golden]") {
  const GoldenCase golden("scheduler_timesteps");
  for (const char* spacing : {"trailing", "linspace", "leading"}) {
    SchedulerConfig c = config_of(golden.json.at("call"));
    c.timestep_spacing = spacing;
    const Schedule schedule(c);
    const Tensor<> lengths = golden.stored(cat(spacing, ".length")), hashes = golden.stored(cat(spacing, ".hash"));
    for (std::int64_t n = 1; n <= 1000; ++n) {
      CAPTURE(spacing, n);
      const std::vector<std::int64_t> steps = schedule.timesteps(n);
      REQUIRE(static_cast<std::int64_t>(steps.size()) == lengths.data<std::int32_t>()[n - 1]);
      REQUIRE(fnv1a64(steps) == static_cast<std::uint64_t>(hashes.data<std::int64_t>()[n - 1]));
    }
  }
  SchedulerConfig c = config_of(golden.json.at("call"));
  c.timestep_spacing = "leading", c.steps_offset = 1;
  const io::Json shifted = golden.json.at("lists").at("leading, steps_offset 1");
  for (const std::string& n : shifted.keys()) CHECK(Schedule(c).timesteps(std::stoll(n)) == shifted.integers(n));
}

TEST_CASE("both samplers equal the reference step by step", "[scheduler][golden]") {
  const GoldenCase golden("scheduler_steps");
  const Shape shape = GoldenCase::shape_of(golden.json.integers("shape"));
  const io::Json calls = golden.json.at("call");
  for (const std::string& name : calls.keys()) {
    CAPTURE(name);
    const io::Json call = calls.at(name);
    const std::int64_t steps = call.integer("steps");
    const Schedule schedule(config_of(call.at("config")));
    const bool dpm = call.string("scheduler") == "dpm";
    AnySampler sampler = make_sampler(dpm ? SamplerKind::dpm : SamplerKind::ddim, schedule, steps);
    const std::vector<std::int64_t> kept = call.integers("kept"), times = schedule.timesteps(steps);
    const Tensor<> samples = golden.stored(cat(name, ".sample")), originals = golden.stored(cat(name, ".original"));
    Tensor<> x = filled_input("in.sample", shape);
    std::size_t row = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      CAPTURE(i, times[i]);
      StoredNoise noise(at);
      const Tensor<> output = filled_input(cat("in.model_output.", at), shape);
      const Tensor<> original = predicted_sample(schedule, output, x, times[i]);
      x = step(sampler, output, x, times[i], noise);
      if (row == kept.size() || kept[row] != at) continue;
      const auto compare = [&](const char* what, const Tensor<>& got, const Tensor<>& rows) {
        const Tensor<> want = op::contiguous(select(rows, 0, static_cast<std::int64_t>(row)));
        const double tolerance = golden.tolerance(cat(name, ".", what), 2e-6, 4);
        for (std::int64_t k = 0; k < got.numel(); ++k) REQUIRE(std::abs(got.data<float>()[k] - want.data<float>()[k]) <= tolerance);
      };
      compare("sample", x, samples);
      compare("original", original, originals);
      ++row;
    }
    CHECK(row == kept.size());
  }
}

TEST_CASE("noising and the velocity target equal the reference", "[scheduler][golden]") {
  const GoldenCase golden("scheduler_noise");
  const std::vector<std::int64_t> times = golden.json.at("call").integers("timesteps");
  const Tensor<> clean = filled_input("in.sample", golden.input_shape("in.sample")), noise = filled_input("in.noise", golden.input_shape("in.noise"));
  for (const int shift : {1, 3}) {
    SchedulerConfig c;
    c.prediction_type = "v_prediction", c.rescale_betas_zero_snr = true, c.snr_shift_scale = shift;
    const Schedule schedule(c);
    const std::string name = cat("snr", shift, ".");
    for (std::size_t i = 0; i < times.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      const auto equal = [&](const char* what, const Tensor<>& got) {
        const Tensor<> want = op::contiguous(select(golden.stored(name + what), 0, row));
        for (std::int64_t k = 0; k < got.numel(); ++k) CHECK(std::abs(got.data<float>()[k] - want.data<float>()[k]) <= golden.tolerance(name + what, 2e-6, 2));
      };
      const Tensor<> x = op::contiguous(select(clean, 0, row)), e = op::contiguous(select(noise, 0, row));
      equal("noisy", add_noise(schedule, x, e, times[i]));
      equal("velocity", velocity(schedule, x, e, times[i]));
    }
  }
}

TEST_CASE("the reference's dynamic guidance", "[scheduler][golden]") {
  const GoldenCase golden("guidance");
  const io::Json calls = golden.json.at("call");
  for (const std::string& name : calls.keys()) {
    CAPTURE(name);
    const io::Json call = calls.at(name);
    const std::vector<std::int64_t> times = call.integers("timesteps");
    const Tensor<> want = golden.stored(name);
    for (std::size_t i = 0; i < times.size(); ++i) {
      const double got = guidance_at(DynamicGuidance::reference, call.number("scale"), times[i], static_cast<std::int64_t>(i), call.integer("steps"));
      // cos of π·((N − t)/N)^5, up to 2e6 radians: one ulp of the power is some 1e-10 there.
      CHECK(got == Approx(want.data<double>()[static_cast<std::int64_t>(i)]).epsilon(1e-7));
    }
  }
}
