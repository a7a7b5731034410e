// kinema/kernel/functor.hpp - pointwise formulas, written once over a value type V: float on the GPU and in scalar
// tails, double in references, a SIMD batch on the CPU.
//
// exp, tanh and erf are found in kinema::math for scalars and by argument-dependent lookup for batches.
#pragma once

#include <kinema/core/math.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// x * sigmoid(x)
struct Silu {
  template <class V> KINEMA_HD V operator()(V x) const {
    using math::exp;
    return x / (V(1) + exp(-x));
  }
};
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
struct GeluTanh {
  template <class V> KINEMA_HD V operator()(V x) const {
    using math::tanh;
    return V(0.5f) * x * (V(1) + tanh(V(0.7978845608028654) * (x + V(0.044715) * x * x * x)));
  }
};
/// 0.5 x (1 + erf(x / sqrt(2)))
struct Gelu {
  template <class V> KINEMA_HD V operator()(V x) const {
    using math::erf;
    return V(0.5f) * x * (V(1) + erf(x * V(0.7071067811865476)));
  }
};
/// x * sigmoid(1.702 x)
struct GeluSigmoid {
  template <class V> KINEMA_HD V operator()(V x) const {
    using math::exp;
    return x / (V(1) + exp(V(-1.702) * x));
  }
};
struct Relu {
  template <class V> KINEMA_HD V operator()(V x) const {
    using math::max;
    return max(x, V(0));
  }
};
/// x * tanh(log(1 + e^x)), as x n / (n + 2) with n = e^x (e^x + 2); beyond 20 the factor is 1.
struct Mish {
  template <class V> KINEMA_HD V operator()(V x) const {
    using math::exp;
    using math::min;
    const V e = exp(min(x, V(20)));
    const V n = e * (e + V(2));
    return x * (n / (n + V(2)));
  }
};
struct Identity {
  template <class V> KINEMA_HD V operator()(V x) const { return x; }
};
/** max(x, 0) \struct Relu */ /** x, no activation \struct Identity */
/// The activations that configurations may name.
enum class Activation : unsigned char { none, silu, gelu_tanh, gelu, gelu_sigmoid, relu, mish };
/// "silu", "gelu_tanh" …
constexpr std::string_view name_of(Activation a) {
  switch (a) {
    case Activation::silu: return "silu";
    case Activation::gelu_tanh: return "gelu_tanh";
    case Activation::gelu: return "gelu";
    case Activation::gelu_sigmoid: return "gelu_sigmoid";
    case Activation::relu: return "relu";
    case Activation::mish: return "mish";
    default: return "none";
  }
}

/// Calls f(functor) for the formula behind `a`.
template <class F>
decltype(auto) dispatch_activation(Activation a, F&& f) {
  switch (a) {
    case Activation::silu: return f(Silu{});
    case Activation::gelu_tanh: return f(GeluTanh{});
    case Activation::gelu: return f(Gelu{});
    case Activation::gelu_sigmoid: return f(GeluSigmoid{});
    case Activation::relu: return f(Relu{});
    case Activation::mish: return f(Mish{});
    default: return f(Identity{});
  }
}

}  // namespace kinema::inline KINEMA_ABI::kernel
