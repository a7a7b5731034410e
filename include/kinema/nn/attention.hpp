// kinema/nn/attention.hpp - self-attention layers for video: full over space and time, or separated into one after the other.
//
// CogVideoX attends over all tokens of a clip at once. Models before it kept an image model's attention within each frame
// and added attention along time at each place: 15 times less arithmetic at 16 frames of 225 tokens, but a token sees
// what moved elsewhere only through tokens between. All layers here take and return [B, T, S, C].
#pragma once

#include <kinema/nn/linear.hpp>
#include <kinema/op/attention.hpp>
#include <kinema/tensor/slice.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// Projections to queries, keys and values, attention within each sequence, projection of the result.
/// Keys: to_q, to_k, to_v, to_out.0, each weight [C, C]; bias [C] of the first three only if `qkv_bias`.
struct Attention {
  Linear to_q, to_k, to_v, to_out;
  std::int64_t width, heads;

  /// Throws ArgumentError unless heads divides width.
  Attention(std::int64_t c, std::int64_t head_count, bool qkv_bias = true)
      : to_q(c, c, qkv_bias), to_k(c, c, qkv_bias), to_v(c, c, qkv_bias), to_out(c, c), width(c), heads(head_count) {
    Expect{"attention layer"}.that(head_count > 0 && c % head_count == 0, "width must be a multiple of heads, got ", c, " and ", head_count);
  }
  /// x [B, S, C] → [B, S, C]
  Tensor<> operator()(const Tensor<>& x) const {
    Expect{"attention layer"}("x", x).rank(3).size(2, width);
    const Shape split{x.size(0), x.size(1), heads, width / heads};
    const Tensor<> y = op::attention(reshape(to_q(x), split), reshape(to_k(x), split), reshape(to_v(x), split));
    return to_out(reshape(y, x.shape()));
  }
  void visit(Visitor& v) {
    v("to_q", to_q);
    v("to_k", to_k);
    v("to_v", to_v);
    v("to_out.0", to_out);
  }
  /// Of `sequences` sequences of `length` tokens: four projections, and the two products of the scores.
  double flops(std::int64_t sequences, std::int64_t length) const {
    const auto n = static_cast<double>(sequences), s = static_cast<double>(length), c = static_cast<double>(width);
    return 8.0 * n * s * c * c + 4.0 * n * s * s * c;
  }
};

namespace detail {
inline void expect_clip(std::string_view where, const Tensor<>& x, std::int64_t width) { Expect{where}("x", x).rank(4).size(3, width).contiguous(); }
}  // namespace detail

/// Every token of a clip with every other: sequences (B, T S, C). Keys: those of Attention.
struct FullAttention : Attention {
  using Attention::Attention;
  /// x [B, T, S, C] contiguous → [B, T, S, C]
  Tensor<> operator()(const Tensor<>& x) const {
    detail::expect_clip("full attention layer", x, width);
    return reshape(Attention::operator()(flatten(x, 1, 2)), x.shape());
  }
  double flops(const Shape& x) const { return Attention::flops(x[0], x[1] * x[2]); }
};

/// Tokens of one frame with each other: sequences (B T, S, C). Keys: those of Attention.
struct SpatialAttention : Attention {
  using Attention::Attention;
  /// x [B, T, S, C] contiguous → [B, T, S, C]
  Tensor<> operator()(const Tensor<>& x) const {
    detail::expect_clip("spatial attention layer", x, width);
    return reshape(Attention::operator()(flatten(x, 0, 1)), x.shape());
  }
  double flops(const Shape& x) const { return Attention::flops(x[0] * x[1], x[2]); }
};

/// Tokens at one place in all frames with each other: sequences (B S, T, C). Keys: those of Attention.
/// Nothing is transposed: projections do not care about the order of tokens, and attention reads and writes with strides.
struct TemporalAttention : Attention {
  using Attention::Attention;
  /// x [B, T, S, C] contiguous → [B, T, S, C]
  Tensor<> operator()(const Tensor<>& x) const {
    detail::expect_clip("temporal attention layer", x, width);
    const Tensor<> q = to_q(x), k = to_k(x), v = to_v(x), y = empty_like(x);
    for (std::int64_t b = 0; b < x.size(0); ++b)
      op::attention_into(sequences(y, b), sequences(q, b), sequences(k, b), sequences(v, b));
    return to_out(y);
  }
  double flops(const Shape& x) const { return Attention::flops(x[0] * x[2], x[1]); }

 private:
  /// [S, T, heads, D] of one sample, a view.
  Tensor<> sequences(const Tensor<>& x, std::int64_t b) const {
    return transpose(reshape(select(x, 0, b), {x.size(1), x.size(2), heads, width / heads}), 0, 1);
  }
};

/// Spatial, then temporal attention: what 3-D full attention replaces. Keys: spatial.*, temporal.*
struct SeparatedAttention {
  SpatialAttention spatial;
  TemporalAttention temporal;

  SeparatedAttention(std::int64_t c, std::int64_t heads, bool qkv_bias = true) : spatial(c, heads, qkv_bias), temporal(c, heads, qkv_bias) {}
  /// x [B, T, S, C] contiguous → [B, T, S, C]
  Tensor<> operator()(const Tensor<>& x) const { return temporal(spatial(x)); }
  void visit(Visitor& v) {
    v("spatial", spatial);
    v("temporal", temporal);
  }
  double flops(const Shape& x) const { return spatial.flops(x) + temporal.flops(x); }
};

}  // namespace kinema::inline KINEMA_ABI::nn
