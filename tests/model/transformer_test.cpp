// tests/model/transformer_test.cpp - the expert transformer against the reference, block by block, all variants.
#include <kinema/model/cogvideox/config_json.hpp>
#include <kinema/model/cogvideox/transformer.hpp>

#include "support/catch.hpp"
#include "support/golden.hpp"

using namespace kinema;
using namespace kinema::test;

namespace {

struct Fixture {
  explicit Fixture(const std::string& name) : golden(name), model(cogvideox::read_transformer_config(golden.json.at("config"))) {
    fill_parameters(model);
    latents = filled_input("in.latents", golden.input_shape("in.latents"));
    text = filled_input("in.text", golden.input_shape("in.text"));
    timesteps = golden.json.at("call").integers("timestep");
    ofs = golden.json.at("call").optional_number("ofs").value_or(2.0);
  }
  GoldenCase golden;
  cogvideox::Transformer model;
  Tensor<> latents, text;
  std::vector<std::int64_t> timesteps;
  double ofs = 2.0;
};

const char* const cases[] = {"transformer_2b", "transformer_5b", "transformer_5b_i2v", "transformer_15", "transformer_15_i2v", "transformer_2b_other_grid",
                             "transformer_5b_tall", "transformer_5b_wide", "transformer_variant_plain", "transformer_variant_scales", "transformer_variant_patch",
                             "transformer_variant_gelu", "transformer_variant_geglu", "transformer_variant_geglu_approximate", "transformer_variant_swiglu",
                             "transformer_variant_linear_silu"};

}  // namespace

TEST_CASE("every block of every variant equals the reference", "[transformer][golden]") {
  for (const char* name : cases) {
    CAPTURE(name);
    Fixture f(name);
    const auto positions = f.model.positions(f.latents.size(1), f.latents.size(3), f.latents.size(4));
    if (positions.rotary.cos) {
      f.golden.check("rope.cos", positions.rotary.cos);
      f.golden.check("rope.sin", positions.rotary.sin);
    }
    f.golden.check("temb", f.model.conditioning(f.timesteps, f.ofs, f.latents));
    const std::int64_t words = f.text.size(1);
    f.golden.check("patch_embed", f.model.patch_embed(f.text, f.latents, positions.additive));
    const Tensor<> out = f.model(f.latents, f.text, f.timesteps, positions, f.ofs, [&](std::int64_t i, const Tensor<>& x) {
      f.golden.check(cat("block", i, ".text"), narrow(x, 1, 0, words));
      f.golden.check(cat("block", i, ".video"), narrow(x, 1, words, x.size(1) - words));
    });
    f.golden.check("out", out);
  }
}

TEST_CASE("the same bits for any number of threads", "[transformer][threads]") {
  Fixture f("transformer_5b");
  const auto positions = f.model.positions(f.latents.size(1), f.latents.size(3), f.latents.size(4));
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 4, 8, 16}) {
    CpuContext context(threads);
    const CpuScope scope(context);
    const Tensor<> out = f.model(f.latents, f.text, f.timesteps, positions);
    const std::vector<float> bits(out.data<float>(), out.data<float>() + out.numel());
    if (first.empty()) first = bits;
    CHECK(bits == first);
  }
}

// Rows of a product are cut into tiles across the batch, so single rounding errors may differ, and nothing else.
TEST_CASE("a batch of two equals two single runs", "[transformer]") {
  Fixture f("transformer_2b");
  const auto positions = f.model.positions(f.latents.size(1), f.latents.size(3), f.latents.size(4));
  const Tensor<> both = f.model(f.latents, f.text, f.timesteps, positions);
  for (std::int64_t b = 0; b < 2; ++b) {
    const std::vector<std::int64_t> t{f.timesteps[static_cast<std::size_t>(b)]};
    const Tensor<> one = f.model(op::contiguous(narrow(f.latents, 0, b, 1)), op::contiguous(narrow(f.text, 0, b, 1)), t, positions);
    const float* x = one.data<float>();
    const float* y = both.data<float>() + b * one.numel();
    double worst = 0;
    for (std::int64_t i = 0; i < one.numel(); ++i) worst = std::max(worst, static_cast<double>(std::abs(x[i] - y[i])));
    CHECK(worst <= 1e-5);
  }
}

TEST_CASE("sizes that do not fit are refused by name", "[transformer]") {
  Fixture f("transformer_5b");
  const auto positions = f.model.positions(f.latents.size(1), f.latents.size(3), f.latents.size(4));
  CHECK_THROWS_WITH(f.model(narrow(f.latents, 3, 0, 3), f.text, f.timesteps, positions), Catch::Matchers::Contains("multiples of 2, got 3x"));
  CHECK_THROWS_WITH(f.model(f.latents, narrow(f.text, 2, 0, 3), f.timesteps, positions), Catch::Matchers::Contains("transformer: text must have shape"));
  const std::vector<std::int64_t> one{0};
  CHECK_THROWS_WITH(f.model(f.latents, f.text, one, positions), Catch::Matchers::Contains("needs 2 time steps, got 1"));
  CHECK_THROWS_AS(f.model.positions(1, 3, 2), ShapeError);
}
