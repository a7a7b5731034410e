// kinema/nn/linear.hpp - the fully connected layer.
#pragma once

#include <kinema/nn/module.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/matmul.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// activation(x Wᵀ + b) with the low-rank updates of W: y += scale (x downᵀ) upᵀ, before the activation.
inline Tensor<> linear(const Tensor<>& x, const Parameter& weight, const Tensor<>& bias = {}, kernel::Activation activation = kernel::Activation::none) {
  if (weight.updates().empty()) return op::linear(x, weight.value(), bias, activation, weight.scale());
  Tensor<> y = op::linear(x, weight.value(), bias, kernel::Activation::none, weight.scale());
  for (const LowRank& u : weight.updates()) y = op::combine({1.0, u.scale}, {y, op::linear(op::linear(x, u.down), u.up)});
  return op::activate(y, activation);
}

/// y = x Wᵀ + b, optionally followed by an activation in the same pass. Keys: weight [out, in], bias [out] (if any).
/// The weight may be kept as 8-bit integers with a scale for each output channel.
struct Linear {
  Parameter weight;
  std::optional<Parameter> bias;
  kernel::Activation activation = kernel::Activation::none;

  Linear(std::int64_t in, std::int64_t out, bool with_bias = true, kernel::Activation a = kernel::Activation::none)
      : weight(Shape{out, in}, true), activation(a) {
    if (with_bias) bias.emplace(Shape{out});
  }
  /// x [..., in] → [..., out]
  Tensor<> operator()(const Tensor<>& x) const {
    return linear(x, weight, bias ? bias->value() : Tensor<>{}, activation);
  }
  void visit(Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

}  // namespace kinema::inline KINEMA_ABI::nn
