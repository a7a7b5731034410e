// tests/nn/quantize_test.cpp - weights as 8-bit integers: loading, running, and how far off a block is.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"

#include <kinema/nn/feed_forward.hpp>
#include <kinema/nn/load.hpp>
#include <kinema/nn/quantize.hpp>

using namespace kinema;
using namespace kinema::test;

namespace {

/// Tensors by name, in memory; remembers which were let go.
class Tensors : public TensorSource {
 public:
  std::map<std::string, Tensor<>, std::less<>> all;
  mutable std::vector<std::string> forgotten;

  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, t] : all) out.push_back(name);
    return out;
  }
  bool contains(std::string_view name) const override { return all.find(name) != all.end(); }
  Shape shape(std::string_view name) const override { return all.find(name)->second.shape(); }
  DType dtype(std::string_view name) const override { return all.find(name)->second.dtype(); }
  Tensor<> get(std::string_view name) const override { return all.find(name)->second; }
  void forget(std::string_view name) const override { forgotten.emplace_back(name); }
  std::string description() const override { return "memory"; }
};

Tensors weights_for(nn::FeedForward& module, DType dtype) {
  Draw draw(5);
  Tensors file;
  nn::for_each_parameter(module, [&](const std::string& name, nn::Parameter& p) { file.all[name] = normal_tensor(draw, p.shape(), dtype); });
  return file;
}

}  // namespace

TEST_CASE("loading keeps the chosen linear weights as 8-bit integers and lets their files go", "[nn][quantize]") {
  auto plain = nn::FeedForward::plain(64, 96, kernel::Activation::gelu_tanh), small = plain;
  const Tensors file = weights_for(plain, DType::bf16);
  nn::load(plain, file);
  nn::LoadOptions options;
  options.quantize = [](const std::string& name) { return name == "net.2.weight" || name == "net.2.bias"; };
  nn::load(small, file, options);
  CHECK(file.forgotten == std::vector<std::string>{"net.2.weight"});
  CHECK(small.down.weight.value().dtype() == DType::i8);
  CHECK(small.down.weight.scale().shape() == Shape{64});
  CHECK(small.down.bias->value().dtype() == DType::bf16);  // a vector takes no scale
  CHECK(small.up.weight.value().dtype() == DType::bf16);
  CHECK_FALSE(small.up.weight.scale());

  Draw draw(6);
  const Tensor<> x = normal_tensor(draw, {9, 64}, DType::f32), want = plain(x), none = zeros(want.shape(), DType::f32);
  const double error = nn::contribution_error(small(x), want, none);
  CHECK(error > 0.001);
  CHECK(error < 0.012);  // a uniform error of at most half a scale, against weights of 1/3 of the largest
  CHECK(nn::contribution_error(nn::quantized(plain)(x), want, none) > error);  // both layers
  CHECK(nn::contribution_error(want, want, none) == 0);

  nn::release(small);
  CHECK_FALSE(small.down.weight.has_value());
  CHECK_FALSE(small.down.weight.scale());
  CHECK_THROWS_AS(small.down.bias->set(zeros({64}, DType::i8), zeros({64}, DType::f32)), ArgumentError);
}

TEST_CASE("a weight that rounding makes infinite is refused by name", "[nn][load]") {
  auto module = nn::FeedForward::plain(8, 8, kernel::Activation::none);
  Tensors file = weights_for(module, DType::f32);
  file.all["net.0.proj.weight"].data<float>()[11] = 1e6f;
  nn::LoadOptions options;
  options.dtype = DType::f16;
  CHECK_THROWS_WITH(nn::load(module, file, options), Catch::Matchers::Contains("net.0.proj.weight: element 11 is beyond the range of f16"));
  options.dtype = DType::bf16;
  CHECK_NOTHROW(nn::load(module, file, options));
}
