// kinema/nn/feed_forward.hpp - the two-layer perceptron of a transformer block.
#pragma once

#include <kinema/nn/linear.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/tensor/slice.hpp>

namespace kinema::inline KINEMA_ABI::nn {

/// net.2(activation(net.0.proj(x))), or with a gate net.2(a * activation(g)) where (a, g) are the halves of net.0.proj(x).
/// Keys: net.0.proj [inner, C] (gated: [2 inner, C]), net.2 [C, inner].
struct FeedForward {
  Linear up, down;
  kernel::Activation gate = kernel::Activation::none;  ///< none: not gated

  static FeedForward plain(std::int64_t c, std::int64_t inner, kernel::Activation a) { return {Linear(c, inner, true, a), Linear(inner, c)}; }
  static FeedForward gated(std::int64_t c, std::int64_t inner, kernel::Activation a) { return {Linear(c, 2 * inner), Linear(inner, c), a}; }

  Tensor<> operator()(const Tensor<>& x) const {
    const Tensor<> h = up(x);
    if (gate == kernel::Activation::none) return down(h);
    const std::int64_t inner = h.size(-1) / 2;
    return down(op::mul(narrow(h, -1, 0, inner), op::activate(narrow(h, -1, inner, inner), gate)));
  }
  void visit(Visitor& v) {
    v("net.0.proj", up);
    v("net.2", down);
  }
};

}  // namespace kinema::inline KINEMA_ABI::nn
