// tests/model/t5_test.cpp - the T5 encoder against the reference: keys, every block, published sums, configuration.
#include <kinema/model/t5/encoder.hpp>
#include <kinema/model/t5/load.hpp>

#include "support/catch.hpp"
#include "support/golden.hpp"

#include <map>

using namespace kinema;
using namespace kinema::test;

namespace {

Tensor<> ids_of(const std::vector<std::int64_t>& ids) { return tensor_of(ids, {1, static_cast<std::int64_t>(ids.size())}); }

/// Tensors by name, as a checkpoint.
struct FakeFile : TensorSource {
  std::map<std::string, Tensor<>, std::less<>> tensors;
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, t] : tensors) out.push_back(name);
    return out;
  }
  bool contains(std::string_view name) const override { return tensors.find(name) != tensors.end(); }
  Shape shape(std::string_view name) const override { return get(name).shape(); }
  DType dtype(std::string_view name) const override { return get(name).dtype(); }
  Tensor<> get(std::string_view name) const override { return tensors.find(name)->second; }
  std::string description() const override { return "fake"; }
};

t5::Config tiny() {
  t5::Config c;
  c.vocab_size = 100, c.d_model = 32, c.d_kv = 8, c.num_heads = 4, c.d_ff = 64, c.num_layers = 3;
  return c;
}

std::vector<std::int64_t> long_ids() {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 226; ++i) ids.push_back((7 * i + 3) % 100);
  return ids;
}

std::string refusal(const std::string& json) {
  try {
    t5::read_config(io::Json::parse(json, "config.json"));
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "(accepted)";
}

}  // namespace

TEST_CASE("every block of the text encoder equals the reference", "[t5][golden]") {
  for (const char* name : {"t5_square", "t5_narrow"}) {
    CAPTURE(name);
    const GoldenCase golden(name);
    t5::Encoder model(t5::read_config(golden.json.at("config")));
    fill_parameters(model);
    for (const char* label : {"short", "long"}) {
      const Tensor<> ids = ids_of(golden.json.at("call").integers(label));
      const std::string prefix = cat(label, ".");
      Tensor<> x = model.embed(ids, DType::f32);
      const Tensor<> bias = model.position_bias(ids.size(1));
      if (golden.has(prefix + "embedding")) {
        CHECK(golden.check(prefix + "embedding", x, 0) == 0);
        CHECK(golden.check(prefix + "position_bias", unsqueeze(bias, 0), 0) == 0);
      }
      for (std::size_t i = 0; i < model.block.size(); ++i) {
        x = model.block[i](x, bias);
        const double worst = golden.check(cat(prefix, "block", i), x);
        UNSCOPED_INFO(name << " " << prefix << "block" << i << " largest error " << worst);
      }
      golden.check(prefix + "out", model(ids, DType::f32));
    }
  }
}

TEST_CASE("position buckets equal the reference's for every distance", "[t5][golden]") {
  for (const char* name : {"t5_square", "t5_narrow"}) {
    const GoldenCase golden(name);
    const t5::Config c = t5::read_config(golden.json.at("config"));
    const Tensor<> buckets = golden.stored("buckets");
    Tensor<> table = empty({c.relative_attention_num_buckets, 1}, DType::f32);  // row b holds b
    for (std::int64_t b = 0; b < table.numel(); ++b) table.data<float>()[b] = static_cast<float>(b);
    const Tensor<> bias = op::relative_position_bias(table, 226, c.relative_attention_num_buckets, c.relative_attention_max_distance);
    const Tensor<float, 3> y(bias);
    for (std::int64_t r = -225; r <= 225; ++r) CHECK(y(0, r < 0 ? -r : 0, r < 0 ? 0 : r) == static_cast<float>(buckets.data<std::int32_t>()[r + 225]));
  }
}

TEST_CASE("published sums of the small encoder, in f64", "[t5][golden]") {
  t5::Encoder model(tiny());
  nn::for_each_parameter(model, [](const std::string& name, nn::Parameter& p) {  // unrounded, unlike fill_parameters
    Tensor<> t = empty(p.shape(), DType::f64);
    const std::span<const std::int64_t> sizes(p.shape().begin(), static_cast<std::size_t>(p.shape().rank()));
    for (std::int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = filler_parameter(name, sizes, static_cast<std::uint64_t>(i));
    p.set(t);
  });
  struct Expected { std::vector<std::int64_t> ids; double sum, sum_abs, sum_squares, first, last; };
  std::vector<std::int64_t> short_ids{71, 30, 98, 6, 21, 45, 16, 17, 5, 1};
  short_ids.resize(20, 0);
  for (const Expected& e : {Expected{short_ids, -50.250598, 512.01854, 650.47197, 0.6382903, -0.6607113},
                            Expected{long_ids(), 42.400976, 5890.1395, 7289.7638, -0.9502166, 1.5155629}}) {
    const Tensor<> out = model(ids_of(e.ids), DType::f64);
    const double* x = out.data<double>();
    double sum = 0, sum_abs = 0, squares = 0;
    for (std::int64_t i = 0; i < out.numel(); ++i) sum += x[i], sum_abs += std::abs(x[i]), squares += x[i] * x[i];
    CHECK(sum == Approx(e.sum).epsilon(1e-7));
    CHECK(sum_abs == Approx(e.sum_abs).epsilon(1e-7));
    CHECK(squares == Approx(e.sum_squares).epsilon(1e-7));
    CHECK(x[0] == Approx(e.first).epsilon(2e-7));
    CHECK(x[out.numel() - 1] == Approx(e.last).epsilon(2e-7));
  }
}

TEST_CASE("keys and shapes are the published ones", "[t5][golden]") {
  t5::Encoder model{t5::Config{}};
  CHECK(nn::count_parameters(model) == 4'762'310'656);
  std::map<std::string, Shape> keys;
  nn::for_each_parameter(model, [&](const std::string& name, nn::Parameter& p) { keys[name] = p.shape(); });
  CHECK(keys.size() == 219);
  CHECK(keys.at("shared.weight") == Shape{32128, 4096});
  CHECK(keys.at("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight") == Shape{32, 64});
  CHECK(keys.count("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight") == 0);
  for (const char* part : {"q", "k", "v", "o"}) CHECK(keys.at(cat("encoder.block.23.layer.0.SelfAttention.", part, ".weight")) == Shape{4096, 4096});
  CHECK(keys.at("encoder.block.23.layer.0.layer_norm.weight") == Shape{4096});
  CHECK(keys.at("encoder.block.23.layer.1.layer_norm.weight") == Shape{4096});
  CHECK(keys.at("encoder.block.7.layer.1.DenseReluDense.wi_0.weight") == Shape{10240, 4096});
  CHECK(keys.at("encoder.block.7.layer.1.DenseReluDense.wi_1.weight") == Shape{10240, 4096});
  CHECK(keys.at("encoder.block.7.layer.1.DenseReluDense.wo.weight") == Shape{4096, 10240});
  CHECK(keys.at("encoder.final_layer_norm.weight") == Shape{4096});
}

TEST_CASE("the embedding table loads under either of its names", "[t5]") {
  t5::Encoder model(tiny());
  FakeFile file;
  nn::for_each_parameter(model, [&](const std::string& name, nn::Parameter& p) { file.tensors[name] = filled_parameter(name, p.shape()); });
  const Tensor<> table = file.tensors.at("shared.weight");
  nn::load(model, file, t5::load_options());
  CHECK(model.shared.weight.value().ref().data == table.ref().data);
  file.tensors.erase("shared.weight");
  CHECK_THROWS_AS(nn::load(model, file, t5::load_options()), CheckpointError);
  file.tensors["encoder.embed_tokens.weight"] = table;
  CHECK(nn::load(model, file, t5::load_options()).unused.empty());
}

TEST_CASE("element types of weights and results", "[t5]") {
  const Tensor<> ids = ids_of(long_ids());
  t5::Encoder model(tiny());
  fill_parameters(model, DType::bf16);
  const Tensor<> wide = model(ids, DType::f32), half = model(ids, DType::f16), brief = model(ids, DType::bf16);
  CHECK(wide.dtype() == DType::f32);
  CHECK(half.dtype() == DType::f16);
  CHECK(brief.dtype() == DType::bf16);
  const Tensor<> rounded = op::cast(wide, DType::f16);
  double error = 0, squares = 0;
  for (std::int64_t i = 0; i < wide.numel(); ++i) {
    CHECK(half.data<f16>()[i].bits == rounded.data<f16>()[i].bits);  // f32 inside, rounded once
    const double exact = static_cast<double>(wide.data<float>()[i]), difference = static_cast<double>(brief.data<bf16>()[i]) - exact;
    error += difference * difference;
    squares += exact * exact;
  }
  CHECK(squares > 1000);
  CHECK(std::sqrt(error / squares) < 0.04);  // the reference in bf16: 0.025
}

TEST_CASE("padding takes part, ids outside of the vocabulary are refused", "[t5]") {
  t5::Encoder model(tiny());
  fill_parameters(model);
  std::vector<std::int64_t> ids{5, 9, 1};
  const Tensor<> bare = model(ids_of(ids), DType::f32);
  ids.resize(6, 0);
  const Tensor<> padded = model(ids_of(ids), DType::f32);
  CHECK(bare.data<float>()[0] != padded.data<float>()[0]);
  CHECK_THROWS_AS(model(ids_of({100}), DType::f32), ArgumentError);
  CHECK_THROWS_AS(model(ids_of({-1}), DType::f32), ArgumentError);
}

TEST_CASE("a batch of two prompts equals two single ones", "[t5]") {
  t5::Encoder model(tiny());
  fill_parameters(model);
  std::vector<std::int64_t> a = long_ids(), b(226, 7), both = a;
  both.insert(both.end(), b.begin(), b.end());
  const Tensor<> x = model(ids_of(a), DType::f32), y = model(ids_of(b), DType::f32), xy = model(tensor_of(both, {2, 226}), DType::f32);
  double worst = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(xy.data<float>()[i]) - static_cast<double>(x.data<float>()[i])));
    worst = std::max(worst, std::abs(static_cast<double>(xy.data<float>()[x.numel() + i]) - static_cast<double>(y.data<float>()[i])));
  }
  CHECK(worst == 0);
}

TEST_CASE("the same bits of the text encoder for any number of threads", "[t5][threads]") {
  t5::Encoder model(tiny());
  fill_parameters(model);
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 4, 8, 16}) {
    CpuContext context(threads);
    const CpuScope scope(context);
    const Tensor<> out = model(ids_of(long_ids()), DType::f32);
    const std::vector<float> bits(out.data<float>(), out.data<float>() + out.numel());
    if (first.empty()) first = bits;
    CHECK(bits == first);
  }
}

TEST_CASE("text encoder configurations", "[t5]") {
  CHECK(refusal(R"({"feed_forward_proj": "gated-gelu"})") == "(accepted)");
  const t5::Config c = t5::read_config(io::Json::parse(R"({"feed_forward_proj": "gated-gelu", "d_kv": 16, "unknown": [1]})", "config.json"));
  CHECK(c.d_model == 512);
  CHECK(c.num_layers == 6);
  CHECK(c.d_kv == 16);
  CHECK(c.vocab_size == 32128);
  const auto refuses = [](const std::string& json, const char* words) {
    const std::string message = refusal(json);
    INFO(message);
    CHECK(message.rfind("config.json: ", 0) == 0);
    CHECK(message.find(words) != std::string::npos);
  };
  const std::string gelu = R"("feed_forward_proj": "gated-gelu")";
  refuses("{}", "feed_forward_proj: must be gated-gelu (T5 v1.1), got \"relu\"");
  refuses(R"({"feed_forward_proj": "gated-silu"})", "got \"gated-silu\"");
  refuses("{" + gelu + R"(, "model_type": "umt5"})", "model_type: must be t5, got \"umt5\"");
  refuses("{" + gelu + R"(, "num_layers": 1000000000})", "num_layers: must be 1 to 1024, got 1000000000");
  refuses("{" + gelu + R"(, "num_layers": 0})", "num_layers: must be 1");
  refuses("{" + gelu + R"(, "d_model": "64"})", "d_model");
  refuses("{" + gelu + R"(, "d_model": 64.0})", "d_model");
  refuses("{" + gelu + R"(, "d_model": null})", "d_model");
  refuses("{" + gelu + R"(, "d_model": -1})", "d_model: must be 1");
  refuses("{" + gelu + R"(, "num_heads": 4096, "d_kv": 4096})", "num_heads * d_kv: must be 1 to 1048576, got 16777216");
  refuses("{" + gelu + R"(, "relative_attention_num_buckets": 33})", "must be even, got 33");
  refuses("{" + gelu + R"(, "relative_attention_num_buckets": 2})", "relative_attention_num_buckets: must be 4");
  refuses("{" + gelu + R"(, "relative_attention_max_distance": 8})", "relative_attention_max_distance: must be 9");
  refuses("{" + gelu + R"(, "layer_norm_epsilon": 0})", "layer_norm_epsilon: must be a positive number");
  refuses("[]", "must be an object");
}

TEST_CASE("extra ids of a tokenizer folder", "[t5]") {
  const auto folder = std::filesystem::temp_directory_path() / ("kinema_extra_ids_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto with = [&](const std::string& text) {
    io::write_file(folder / "tokenizer_config.json", text);
    return t5::read_extra_ids(folder);
  };
  CHECK(t5::read_extra_ids(folder) == 100);
  CHECK(with("{}") == 100);
  CHECK(with(R"({"extra_ids": 0})") == 0);
  CHECK_THROWS_AS(with(R"({"extra_ids": -1})"), ConfigError);
  CHECK_THROWS_AS(with(R"({"extra_ids": true})"), ConfigError);
  CHECK_THROWS_AS(with("[1]"), ConfigError);
  std::filesystem::remove_all(folder);
}
