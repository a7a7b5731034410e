// tests/model/lora_test.cpp - adapters against the reference library, merged and at run time, alone and together.
#include <kinema/model/cogvideox/config_json.hpp>
#include <kinema/model/cogvideox/lora.hpp>
#include <kinema/model/cogvideox/transformer.hpp>

#include "support/catch.hpp"
#include "support/golden.hpp"

#include <map>

using namespace kinema;
using namespace kinema::test;

namespace {

/// A model's parameters by name, as a checkpoint.
class FilledSource final : public TensorSource {
 public:
  explicit FilledSource(const cogvideox::TransformerConfig& config, DType dtype = DType::f32) {
    cogvideox::Transformer model(config);
    nn::for_each_parameter(model, [&](const std::string& name, nn::Parameter& p) { tensors_.emplace(name, filled_parameter(name, p.shape(), dtype)); });
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, t] : tensors_) names.push_back(name);
    return names;
  }
  bool contains(std::string_view name) const override { return tensors_.count(std::string(name)) != 0; }
  Shape shape(std::string_view name) const override { return get(name).shape(); }
  DType dtype(std::string_view name) const override { return get(name).dtype(); }
  Tensor<> get(std::string_view name) const override { return tensors_.at(std::string(name)); }
  std::string description() const override { return "filled"; }

 private:
  std::map<std::string, Tensor<>> tensors_;
};

Tensor<> run(const GoldenCase& golden, const cogvideox::Transformer& model) {
  const Tensor<> latents = filled_input("in.latents", golden.input_shape("in.latents")), text = filled_input("in.text", golden.input_shape("in.text"));
  return model(latents, text, golden.json.at("call").integers("timestep"), model.positions(latents.size(1), latents.size(3), latents.size(4)));
}

double largest_difference(const Tensor<>& a, const Tensor<>& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) most = std::max(most, std::abs(static_cast<double>(a.data<float>()[i]) - static_cast<double>(b.data<float>()[i])));
  return most;
}

}  // namespace

TEST_CASE("adapters that the reference wrote change the transformer as there, merged and at run time", "[lora][golden]") {
  for (const char* name : {"lora_2b", "lora_15"}) {
    const GoldenCase golden(name);
    const cogvideox::TransformerConfig config = cogvideox::read_transformer_config(golden.json.at("config"));
    const FilledSource weights(config);
    const io::Json calls = golden.json.at("adapters");
    for (const std::string& call : calls.keys()) {
      CAPTURE(name, call);
      std::vector<nn::Lora> loras;
      for (const std::string& file : calls.at(call).keys())
        loras.push_back(cogvideox::read_lora(std::filesystem::path(KINEMA_GOLDEN_DIR) / name / file, calls.at(call).number(file)).lora);
      cogvideox::Transformer merged(config), added(config);
      for (const nn::Lora& lora : loras) CHECK(nn::match_lora(merged, lora).unmatched.empty());
      nn::load(merged, nn::MergedLora(weights, loras));
      nn::load(added, weights);
      for (const nn::Lora& lora : loras) nn::add_lora(added, lora, DType::f32);
      golden.check("out." + call, run(golden, merged));
      golden.check("out." + call, run(golden, added));
    }
  }
}

TEST_CASE("an adapter of zeros changes no bit, and merging rounds once", "[lora]") {
  const GoldenCase golden("lora_2b");
  const cogvideox::TransformerConfig config = cogvideox::read_transformer_config(golden.json.at("config"));
  nn::Lora lora = cogvideox::read_lora(std::filesystem::path(KINEMA_GOLDEN_DIR) / "lora_2b" / "a.safetensors").lora;
  const FilledSource weights(config), rounded(config, DType::bf16);

  const std::vector<nn::Lora> twice{lora, lora};
  const nn::MergedLora both(rounded, twice);
  const std::string name = "transformer_blocks.1.attn1.to_q";
  const Tensor<> merged = both.get(name + ".weight");
  CHECK(merged.dtype() == DType::bf16);
  CHECK(rounded.get("norm_final.weight").id() == both.get("norm_final.weight").id());
  const nn::LowRank& u = lora.updates.at(name);
  const Tensor<> wide = op::cast(rounded.get(name + ".weight"), DType::f64), delta = op::matmul(op::cast(u.up, DType::f64), op::cast(u.down, DType::f64));
  const Tensor<> want = op::combine({1.0, 2 * u.scale}, {wide, delta}), got = op::cast(merged, DType::f64);
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    const double w = want.data<double>()[i];
    CHECK(std::abs(got.data<double>()[i] - w) <= std::ldexp(std::abs(w), -8) * 1.001 + 1e-7);  // half a unit in bf16's last place
  }

  for (auto& [module, update] : lora.updates) update.up = zeros(update.up.shape(), update.up.dtype());
  cogvideox::Transformer base(config), merged_zero(config), added_zero(config);
  const std::vector<nn::Lora> list{lora};
  nn::load(base, weights);
  nn::load(merged_zero, nn::MergedLora(weights, list));
  nn::load(added_zero, weights);
  nn::add_lora(added_zero, lora, DType::f32);
  CHECK(largest_difference(run(golden, base), run(golden, merged_zero)) == 0);
  CHECK(largest_difference(run(golden, base), run(golden, added_zero)) < 1e-6);  // the activation is a pass of its own then
}
