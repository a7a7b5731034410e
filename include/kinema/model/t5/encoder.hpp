// kinema/model/t5/encoder.hpp - the T5 v1.1 encoder: token ids to embeddings.
#pragma once

#include <kinema/model/t5/config.hpp>
#include <kinema/nn/embedding.hpp>
#include <kinema/nn/linear.hpp>
#include <kinema/nn/norm.hpp>
#include <kinema/op/attention.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/layout.hpp>

#include <optional>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::t5 {

/// softmax(q k^T + bias) v, without the usual 1/sqrt(d): T5 folds it into its initial weights.
/// Keys: q, k, v [inner, d_model], o [d_model, inner], relative_attention_bias [buckets, heads] in the first block only.
struct SelfAttention {
  nn::Linear q, k, v, o;
  std::optional<nn::Embedding> relative_attention_bias;
  std::int64_t heads;

  SelfAttention(const Config& c, bool has_bias)
      : q(c.d_model, c.inner(), false), k(c.d_model, c.inner(), false), v(c.d_model, c.inner(), false), o(c.inner(), c.d_model, false), heads(c.num_heads) {
    if (has_bias) relative_attention_bias.emplace(c.relative_attention_num_buckets, c.num_heads);
  }
  /// x [B, S, d_model], bias [heads, S, S] → [B, S, d_model]
  Tensor<> operator()(const Tensor<>& x, const Tensor<>& bias) const {
    const auto split = [&](const Tensor<>& t) { return reshape(t, {t.size(0), t.size(1), heads, t.size(2) / heads}); };  // [B, S, H, D]
    const Tensor<> a = op::attention(split(q(x)), split(k(x)), split(v(x)), {.scale = 1.0, .bias = bias});
    return o(flatten(a, 2, 3));
  }
  void visit(nn::Visitor& visitor) {
    visitor("q", q);
    visitor("k", k);
    visitor("v", v);
    visitor("o", o);
    visitor("relative_attention_bias", relative_attention_bias);
  }
};

/// wo(gelu_tanh(wi_0 x) * (wi_1 x)). Keys: wi_0, wi_1 [d_ff, d_model], wo [d_model, d_ff].
struct DenseGatedGelu {
  nn::Linear wi_0, wi_1, wo;
  explicit DenseGatedGelu(const Config& c)
      : wi_0(c.d_model, c.d_ff, false, kernel::Activation::gelu_tanh), wi_1(c.d_model, c.d_ff, false), wo(c.d_ff, c.d_model, false) {}
  Tensor<> operator()(const Tensor<>& x) const { return wo(op::mul(wi_0(x), wi_1(x))); }
  void visit(nn::Visitor& v) {
    v("wi_0", wi_0);
    v("wi_1", wi_1);
    v("wo", wo);
  }
};

/// x + attention(norm(x)), then x + dense(norm(x)).
/// Keys: layer.0.SelfAttention, layer.0.layer_norm, layer.1.DenseReluDense, layer.1.layer_norm.
struct Block {
  nn::RmsNorm attention_norm, dense_norm;
  SelfAttention attention;
  DenseGatedGelu dense;

  Block(const Config& c, bool has_bias)
      : attention_norm(c.d_model, c.layer_norm_epsilon), dense_norm(c.d_model, c.layer_norm_epsilon), attention(c, has_bias), dense(c) {}
  Tensor<> operator()(const Tensor<>& x, const Tensor<>& bias) const {
    const Tensor<> h = op::add(x, attention(attention_norm(x), bias));
    return op::add(h, dense(dense_norm(h)));
  }
  void visit(nn::Visitor& v) {
    v("layer.0.SelfAttention", attention);
    v("layer.0.layer_norm", attention_norm);
    v("layer.1.DenseReluDense", dense);
    v("layer.1.layer_norm", dense_norm);
  }
};

/// The encoder. Padding is a token like any other: there is no mask, so the number of pads influences the result.
/// Keys: shared.weight, encoder.block.{i}…, encoder.final_layer_norm.weight. Source: Raffel et al. 2020; transformers
/// modeling_t5.py, T5EncoderModel.
struct Encoder {
  Config config;
  nn::Embedding shared;
  std::vector<Block> block;
  nn::RmsNorm final_layer_norm;

  explicit Encoder(Config c) : config((validate(c), std::move(c))), shared(config.vocab_size, config.d_model), final_layer_norm(config.d_model, config.layer_norm_epsilon) {
    for (std::int64_t i = 0; i < config.num_layers; ++i) block.emplace_back(config, i == 0);
  }

  /// Embeddings of `ids` [B, S] i64, as [B, S, d_model] in `dtype`. Weights may have any floating type.
  /// In f16 the residual stream of the published weights leaves the range: the reference clamps it and keeps wo in f32.
  /// Here f16 means f32 inside and one rounding at the end, which needs neither.
  /// Throws ArgumentError for an id outside the vocabulary.
  /// on_block hears the index of every block that has done its work.
  Tensor<> operator()(const Tensor<>& ids, DType dtype, function_ref<void(std::int64_t)> on_block = ignore_block) const {
    Expect{"t5"}("ids", ids).rank(2).dtype(DType::i64);
    Expect{"t5"}.that(ids.size(0) > 0, "needs at least one prompt");
    const Tensor<> bias = position_bias(ids.size(1));
    // One prompt at a time, so that the bits of a prompt do not depend on its neighbours: products of other sizes may sum
    // in another order. All prompts pass a block before the next one's weights are read.
    std::vector<Tensor<>> prompts;
    for (std::int64_t b = 0; b < ids.size(0); ++b) prompts.push_back(embed(op::contiguous(narrow(ids, 0, b, 1)), dtype));
    for (std::size_t i = 0; i < block.size(); ++i) {
      for (Tensor<>& x : prompts) x = block[i](x, bias);
      on_block(static_cast<std::int64_t>(i));
    }
    for (Tensor<>& x : prompts) x = op::cast(final_layer_norm(x), dtype);
    return prompts.size() == 1 ? prompts.front() : op::concat(prompts, 0);
  }

  static void ignore_block(std::int64_t) {}
  /// The residual stream before the first block, [B, S, d_model]: rows of the table, neither scaled nor positioned.
  Tensor<> embed(const Tensor<>& ids, DType dtype) const {
    return op::embedding(ids, shared.weight.value(), dtype == DType::f16 ? DType::f32 : dtype);
  }
  /// The first block's bias serves all blocks: [heads, S, S].
  Tensor<> position_bias(std::int64_t s) const {
    return op::relative_position_bias(block.front().attention.relative_attention_bias->weight.value(), s, config.relative_attention_num_buckets,
                                      config.relative_attention_max_distance);
  }
  void visit(nn::Visitor& v) {
    v("shared", shared);
    v("encoder.block", block);
    v("encoder.final_layer_norm", final_layer_norm);
  }
};

}  // namespace kinema::inline KINEMA_ABI::t5
