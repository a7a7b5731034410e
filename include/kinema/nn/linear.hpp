// kinema/nn/linear.hpp - the fully connected layer.
#pragma once

#include <kinema/nn/module.hpp>
#include <kinema/op/matmul.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// y = x Wᵀ + b, optionally followed by an activation in the same pass. Keys: weight [out, in], bias [out] (if any).
struct Linear {
  Parameter weight;
  std::optional<Parameter> bias;
  kernel::Activation activation = kernel::Activation::none;

  Linear(std::int64_t in, std::int64_t out, bool with_bias = true, kernel::Activation a = kernel::Activation::none)
      : weight(Shape{out, in}), activation(a) {
    if (with_bias) bias.emplace(Shape{out});
  }
  /// x [..., in] → [..., out]
  Tensor<> operator()(const Tensor<>& x) const {
    return op::linear(x, weight.value(), bias ? bias->value() : Tensor<>{}, activation);
  }
  void visit(Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

}  // namespace kinema::inline KINEMA_ABI::nn
