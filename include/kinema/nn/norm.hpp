// kinema/nn/norm.hpp - normalisation layers over the last axis.
#pragma once

#include <kinema/nn/module.hpp>
#include <kinema/op/norm.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// LayerNorm over the last axis. Keys: weight [C], bias [C] (none of them without affine).
struct LayerNorm {
  std::optional<Parameter> weight, bias;
  double eps;

  explicit LayerNorm(std::int64_t c, double epsilon = 1e-5, bool affine = true) : eps(epsilon) {
    if (affine) {
      weight.emplace(Shape{c});
      bias.emplace(Shape{c});
    }
  }
  Tensor<> scale() const { return weight ? weight->value() : Tensor<>{}; }
  Tensor<> offset() const { return bias ? bias->value() : Tensor<>{}; }
  Tensor<> operator()(const Tensor<>& x) const { return op::layer_norm(x, scale(), offset(), eps); }
  /// LN(x) * (1 + scale) + shift with rows of `shift`, `scale` [B, G, C] chosen by `runs` (see op::ada_layer_norm).
  Tensor<> modulated(const Tensor<>& x, const Tensor<>& shift, const Tensor<>& by, const Tensor<>& runs) const {
    return op::ada_layer_norm(x, scale(), offset(), shift, by, runs, eps);
  }
  void visit(Visitor& v) {
    v("weight", weight);
    v("bias", bias);
  }
};

/// Root-mean-square norm over the last axis. Key: weight [C].
struct RmsNorm {
  Parameter weight;
  double eps;
  explicit RmsNorm(std::int64_t c, double epsilon = 1e-6) : weight(Shape{c}), eps(epsilon) {}
  Tensor<> operator()(const Tensor<>& x) const { return op::rms_norm(x, weight.value(), eps); }
  void visit(Visitor& v) { v("weight", weight); }
};

}  // namespace kinema::inline KINEMA_ABI::nn
