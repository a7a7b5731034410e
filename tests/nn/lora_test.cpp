// tests/nn/lora_test.cpp - what is read as an adapter, and what is refused with which words.
#include <kinema/nn/linear.hpp>
#include <kinema/nn/lora.hpp>
#include <kinema/tensor/create.hpp>

#include "support/catch.hpp"

#include <limits>
#include <map>

using namespace kinema;

namespace {

class Source final : public TensorSource {
 public:
  std::map<std::string, Tensor<>> tensors;
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, t] : tensors) all.push_back(name);
    return all;
  }
  bool contains(std::string_view name) const override { return tensors.count(std::string(name)) != 0; }
  Shape shape(std::string_view name) const override { return get(name).shape(); }
  DType dtype(std::string_view name) const override { return get(name).dtype(); }
  Tensor<> get(std::string_view name) const override { return tensors.at(std::string(name)); }
  std::string description() const override { return "adapter.safetensors"; }
};

Source adapter(const std::string& module, std::int64_t out, std::int64_t in, std::int64_t rank, const std::string& down = ".lora_A.weight", const std::string& up = ".lora_B.weight") {
  Source s;
  s.tensors[module + down] = full({rank, in}, 0.5, DType::f32);
  s.tensors[module + up] = full({out, rank}, 2.0, DType::f32);
  return s;
}

struct Model {
  nn::Linear first{4, 6}, second{6, 2};
  nn::Parameter table{Shape{3, 3, 2}};
  void visit(nn::Visitor& v) {
    v("first", first);
    v("second", second);
    v("table.weight", table);
  }
};

std::string refusal(const Source& s) {
  try {
    nn::read_lora(s, "transformer");
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "accepted";
}
std::string mismatch(const Source& s) {
  Model m;
  try {
    nn::match_lora(m, nn::read_lora(s, "transformer").lora);
  } catch (const CheckpointError& e) {
    return e.what();
  }
  return "accepted";
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("adapters in all spellings: prefix, older names, alpha beside them", "[lora]") {
  for (const std::string prefix : {"transformer.", ""}) {
    const nn::LoraReading r = nn::read_lora(adapter(prefix + "first", 6, 4, 2), "transformer", 0.5);
    REQUIRE(r.lora.updates.count("first") == 1);
    CHECK(r.lora.updates.at("first").scale == 0.5);
    CHECK(r.remarks.empty());
  }
  CHECK(nn::read_lora(adapter("transformer.first", 6, 4, 3, ".lora.down.weight", ".lora.up.weight"), "transformer").lora.updates.count("first") == 1);
  Source s = adapter("transformer.first", 6, 4, 4);
  s.tensors["transformer.first.alpha"] = full({}, 2.0, DType::f32);
  CHECK(nn::read_lora(s, "transformer").lora.updates.at("first").scale == 0.5);
  const nn::LoraAlpha eight = [](const std::string&, std::int64_t) { return 8.0; };
  CHECK(nn::read_lora(adapter("first", 6, 4, 4), "transformer", 3, eight).lora.updates.at("first").scale == 6);
  s.tensors["transformer.first.dora_scale"] = full({6}, 1.0, DType::f32);
  CHECK(nn::read_lora(s, "transformer").remarks.size() == 1);
}

TEST_CASE("an update is W + scale up down, merged or added", "[lora]") {
  Model m;
  const nn::Lora lora = nn::read_lora(adapter("first", 6, 4, 2), "transformer", 0.25).lora;
  CHECK(nn::match_lora(m, lora).matched == 1);
  Source base;
  nn::for_each_parameter(m, [&](const std::string& name, nn::Parameter& p) { base.tensors[name] = full(p.shape(), 1.0, DType::f32); });
  const std::vector<nn::Lora> loras{lora};
  nn::load(m, nn::MergedLora(base, loras));
  CHECK(m.first.weight.value().data<float>()[5] == 1.0f + 0.25f * 2 * 2.0f * 0.5f);
  CHECK(m.second.weight.value().data<float>()[0] == 1.0f);
  const Tensor<> x = full({1, 4}, 1.0, DType::f32);
  const float merged = m.first(x).data<float>()[0];
  nn::load(m, base);
  nn::add_lora(m, lora, DType::f32);
  CHECK(m.first(x).data<float>()[0] == merged);
  CHECK(merged == 4 * 1.5f + 1);
  nn::release(m);
  CHECK(m.first.weight.updates().empty());
}

TEST_CASE("what is no adapter, or not of this model, is refused by name", "[lora]") {
  CHECK(has(refusal(Source{}), "holds no LoRA"));
  Source s = adapter("transformer.first", 6, 4, 2);
  s.tensors["transformer.first.weight"] = full({2}, 0.0, DType::f32);
  CHECK(has(refusal(s), "transformer.first.weight  is no part of a LoRA"));
  s = adapter("transformer.first", 6, 4, 2);
  s.tensors["text_encoder.first.lora_A.weight"] = full({2, 2}, 0.0, DType::f32);
  CHECK(has(refusal(s), "only the transformer takes a LoRA"));
  s = adapter("first", 6, 4, 2);
  s.tensors.erase("first.lora_B.weight");
  CHECK(has(refusal(s), "first  has no lora_B"));
  CHECK(has(refusal(adapter("first", 6, 4, 0)), "rank of at least 1"));
  s = adapter("first", 6, 4, 2);
  s.tensors["first.lora_B.weight"] = full({6, 3}, 0.0, DType::f32);
  CHECK(has(refusal(s), "found [2, 4] and [6, 3]"));
  s = adapter("first", 6, 4, 2);
  s.tensors["first.alpha"] = full({}, std::numeric_limits<double>::quiet_NaN(), DType::f32);
  CHECK(has(refusal(s), "must be a finite number"));
  s = adapter("first", 6, 4, 2);
  s.tensors["first.lora_A.weight"].data<float>()[3] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(nn::read_lora(s, "transformer"), NonFiniteError);
  CHECK_THROWS_AS(nn::read_lora(adapter("first", 6, 4, 2), "transformer", std::numeric_limits<double>::infinity()), ArgumentError);

  CHECK(has(mismatch(adapter("third", 6, 4, 2)), "none of its 1 modules is in the model; the first is third"));
  CHECK(has(mismatch(adapter("first", 6, 5, 2)), "the model has [6, 4], the LoRA is for [6, 5]"));
  CHECK(has(mismatch(adapter("table", 3, 2, 2)), "is not a linear layer"));
  Source two = adapter("first", 6, 4, 2);
  const Source other = adapter("third", 6, 4, 2);
  two.tensors.insert(other.tensors.begin(), other.tensors.end());
  Model m;
  const nn::LoraMatch match = nn::match_lora(m, nn::read_lora(two, "transformer").lora);
  CHECK(match.matched == 1);
  CHECK(match.unmatched == std::vector<std::string>{"third"});
}
