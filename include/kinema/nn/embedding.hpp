// kinema/nn/embedding.hpp - learned look-up tables and the time-step MLP.
#pragma once

#include <kinema/nn/linear.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/embedding.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// Rows of a table. Key: weight [rows, C].
struct Embedding {
  Parameter weight;
  Embedding(std::int64_t rows, std::int64_t c) : weight(Shape{rows, c}) {}
  /// ids i64 [...] → [..., C]
  Tensor<> operator()(const Tensor<>& ids) const { return op::embedding(ids, weight.value()); }
  void visit(Visitor& v) { v("weight", weight); }
};

/// linear_2(activation(linear_1(x))). Keys: linear_1, linear_2.
struct TimestepEmbedding {
  Linear linear_1, linear_2;
  TimestepEmbedding(std::int64_t in, std::int64_t width, kernel::Activation a = kernel::Activation::silu)
      : linear_1(in, width, true, a), linear_2(width, width) {}
  Tensor<> operator()(const Tensor<>& x) const { return linear_2(linear_1(x)); }
  void visit(Visitor& v) {
    v("linear_1", linear_1);
    v("linear_2", linear_2);
  }
};

}  // namespace kinema::inline KINEMA_ABI::nn
