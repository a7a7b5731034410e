// tests/diffusion/schedule_test.cpp - the noise schedule, time steps and coefficients against tables of the reference.
#include <kinema/diffusion/sampler.hpp>
#include <kinema/diffusion/guidance.hpp>

#include "support/catch.hpp"

#include <cmath>

using namespace kinema;
using namespace kinema::diffusion;

namespace {

SchedulerConfig published(double shift) {
  SchedulerConfig c;
  c.prediction_type = "v_prediction";
  c.timestep_spacing = "trailing";
  c.rescale_betas_zero_snr = true;
  c.snr_shift_scale = shift;
  return c;
}

double element(const Tensor<>& t, std::int64_t i) { return static_cast<double>(t.data<float>()[i]); }

}  // namespace

TEST_CASE("cumulative alphas equal the reference's table", "[schedule]") {
  struct Row { std::int64_t t; double s1, s3; };
  const Row rows[] = {{0, .99915, .997454327643}, {1, .99823344614, .994800626427}, {99, .888085894794, .730866866759},
                      {299, .566515754328, .306367939411}, {499, .242359166556, .0959695616907}, {699, .0557833200129, .0188306237958},
                      {899, .00303307237065, .000968787982023}, {979, 8.57878434005e-05, 2.71943604002e-05}, {998, 1.96788805662e-07, 6.2307884674e-08}};
  const Schedule one(published(1)), three(published(3));
  for (const Row& r : rows) {
    CAPTURE(r.t);
    CHECK(one.alpha(r.t) == Approx(r.s1).epsilon(1e-10));
    CHECK(three.alpha(r.t) == Approx(r.s3).epsilon(1e-10));
  }
  CHECK(one.alpha(999) == 0.0);
  CHECK(one.alpha(-1) == 0.0);
  CHECK(one.previous_alpha(19, 50) == 1.0);
  for (std::size_t i = 1; i < one.alphas().size(); ++i) REQUIRE(one.alphas()[i] < one.alphas()[i - 1]);
}

TEST_CASE("time steps: spacings, quirks and limits", "[schedule]") {
  const Schedule trailing(published(1));
  const auto t50 = trailing.timesteps(50);
  REQUIRE(t50.size() == 50);
  CHECK(t50.front() == 999);
  CHECK(t50[1] == 979);
  CHECK(t50.back() == 19);
  CHECK(trailing.timesteps(1000).back() == 0);
  for (std::int64_t n : {61, 103, 121, 122, 201, 402}) {  // floating arange yields one more entry, -1
    CAPTURE(n);
    const auto t = trailing.timesteps(n);
    CHECK(static_cast<std::int64_t>(t.size()) == n + 1);
    CHECK(t.back() == -1);
  }
  auto c = published(1);
  c.timestep_spacing = "linspace";
  CHECK(Schedule(c).timesteps(1) == std::vector<std::int64_t>{0});
  CHECK(Schedule(c).timesteps(2) == std::vector<std::int64_t>{999, 0});
  c.timestep_spacing = "leading";
  c.steps_offset = 1;
  CHECK(Schedule(c).timesteps(4) == std::vector<std::int64_t>{751, 501, 251, 1});
  CHECK_THROWS_WITH(trailing.timesteps(0), Catch::Matchers::Contains("must be 1 to 1000, got 0"));
  CHECK_THROWS_AS(trailing.timesteps(1001), ArgumentError);
}

TEST_CASE("configuration errors name the field, the value and what is allowed", "[schedule]") {
  const auto message = [](auto change) {
    SchedulerConfig c;
    change(c);
    try { validate(c); } catch (const ConfigError& e) { return std::string(e.what()); }
    return std::string("accepted");
  };
  CHECK(message([](auto& c) { c.beta_start = 0; }) == "beta_start: must lie between 0 and 1, got 0");
  CHECK(message([](auto& c) { c.beta_end = 1; }) == "beta_end: must lie between 0 and 1, got 1");
  CHECK_THAT(message([](auto& c) { c.prediction_type = "x\n"; }), Catch::Matchers::Contains("x\\x0a"));
  CHECK_THAT(message([](auto& c) { c.num_train_timesteps = 0; }), Catch::Matchers::Contains("num_train_timesteps"));
  CHECK_THAT(message([](auto& c) { c.snr_shift_scale = std::nan(""); }), Catch::Matchers::Contains("snr_shift_scale"));
  CHECK_THAT(message([](auto& c) { c.trained_betas = std::vector<double>{0.1}; }), Catch::Matchers::Contains("trained_betas"));
}

TEST_CASE("DDIM and DPM coefficients of a 50-step run", "[sampler]") {
  // With prediction chosen so that the clean sample is known, one step reads off its coefficients.
  const Schedule s(published(1));
  Generator none(0);
  const auto one_step = [&](std::int64_t t, float x, float clean) {
    const double a = s.alpha(t);
    const auto v = static_cast<float>((std::sqrt(a) * static_cast<double>(x) - static_cast<double>(clean)) / std::sqrt(1 - a));
    Ddim ddim(s, 50);
    return element(ddim.step(tensor_of({v}), tensor_of({x}), t, none), 0);
  };
  CHECK(one_step(999, 1, 0) == Approx(.999957105).margin(1e-6));
  CHECK(one_step(999, 0, 1) == Approx(.00926217271).margin(1e-6));
  CHECK(one_step(499, 1, 0) == Approx(.981618185).margin(1e-6));
  CHECK(one_step(499, 0, 1) == Approx(.0363231564).margin(1e-6));
  CHECK(one_step(19, 1, 0) == Approx(0).margin(1e-6));
  CHECK(one_step(19, 0, 1) == Approx(1).margin(1e-6));
}

TEST_CASE("a perfect denoiser gives the clean sample back", "[sampler]") {
  const Schedule s(published(3));
  const Tensor<> clean = tensor_of({0.5f, -1.25f, 2.0f});
  for (const SamplerKind kind : {SamplerKind::ddim, SamplerKind::dpm}) {
    for (const std::int64_t steps : {1, 2, 5, 50, 1000}) {
      CAPTURE(int(kind), steps);
      Generator random(7);
      AnySampler sampler = make_sampler(kind, s, steps);
      Tensor<> x = random.normal(clean.shape());
      for (const std::int64_t t : s.timesteps(steps)) {
        // the velocity whose clean sample is `clean`: v = (√ᾱ x − x₀)/√(1−ᾱ)
        const double a = s.alpha(t), b = std::sqrt(1 - a);
        x = step(sampler, op::combine({std::sqrt(a) / b, -1 / b}, {x, clean}), x, t, random);
      }
      for (int i = 0; i < 3; ++i) CHECK(element(x, i) == Approx(element(clean, i)).margin(1e-5));
    }
  }
}

TEST_CASE("noise, then velocity, then the clean sample", "[schedule]") {
  const Schedule s(published(1));
  Generator random(3);
  const Tensor<> clean = random.normal(Shape{100}), noise = random.normal(Shape{100});
  for (const std::int64_t t : {0, 1, 500, 998, 999}) {
    const Tensor<> x = add_noise(s, clean, noise, t), back = predicted_sample(s, velocity(s, clean, noise, t), x, t);
    for (int i = 0; i < 100; ++i) REQUIRE(element(back, i) == Approx(element(clean, i)).margin(1e-5));
  }
}

TEST_CASE("dynamic guidance follows the reference's curve; guidance is linear", "[guidance]") {
  const double table[] = {2.291487, 2.543503, 6.974352, 6.420358, 2.788098, 4.271942, 1.037598};
  for (int i = 0; i < 7; ++i) CHECK(guidance_at(DynamicGuidance::reference, 6, 999 - 20 * i, i, 50) == Approx(table[i]).margin(1e-6));
  CHECK(guidance_at(DynamicGuidance::off, 6, 999, 0, 50) == 6);
  CHECK(guidance_at(DynamicGuidance::cosine, 6, 999, 0, 50) == Approx(1));
  CHECK(guidance_at(DynamicGuidance::cosine, 6, 19, 49, 50) == Approx(6));
  double before = 0;
  for (int i = 0; i < 50; ++i) {
    const double g = guidance_at(DynamicGuidance::cosine, 6, 0, i, 50);
    CHECK(g > before);
    before = g;
  }
  const Tensor<> u = tensor_of({1.0f, -2.0f}), c = tensor_of({3.0f, 5.0f});
  CHECK(element(guide(u, c, 0), 1) == -2);
  CHECK(element(guide(u, c, 1), 1) == 5);
  CHECK(element(guide(c, c, 7.5), 0) == 3);
}
