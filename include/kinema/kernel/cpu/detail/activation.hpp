// kinema/kernel/cpu/detail/activation.hpp - the activations over SIMD batches, through one exponential that cannot overflow.
//
// SiLU, tanh-GELU and sigmoid-GELU are all x sigmoid(u). With e = exp(-|u|) in (0, 1], the sigmoid is 1/(1+e) for positive and e/(1+e)
// for negative u, so  x sigmoid(u) = (max(x, 0) + min(x, 0) e) / (1 + e)  if u has the sign of x. No branch, no overflow,
// and a relative error of a few ulp on both sides, where 1 + tanh(u) cancels for negative u.
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/functor.hpp>

#include <limits>
#include <type_traits>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// x / (1 + 2^-u), u of the sign of x.
template <class C>
simd::batch<C> times_sigmoid2(const simd::batch<C>& x, const simd::batch<C>& u) {
  const simd::batch<C> zero = simd::fill<C>(C(0)), e = simd::exp2<C>(simd::min<C>(u, -u));
  return simd::fma<C>(simd::min<C>(zero, x), e, simd::max<C>(zero, x)) / (simd::fill<C>(C(1)) + e);
}

template <class C>
simd::batch<C> activate(Identity, const simd::batch<C>& x) { return x; }
template <class C>
simd::batch<C> activate(Silu, const simd::batch<C>& x) {
  return times_sigmoid2<C>(x, x * simd::fill<C>(C(1.4426950408889634)));  // log2(e)
}
template <class C>
simd::batch<C> activate(GeluTanh, const simd::batch<C>& x) {
  constexpr double k = 2 * 0.7978845608028654 * 1.4426950408889634;  // tanh(y) = 2 sigmoid(2y) - 1
  return times_sigmoid2<C>(x, x * simd::fma<C>(x * x, simd::fill<C>(C(k * 0.044715)), simd::fill<C>(C(k))));
}
template <class C>
simd::batch<C> activate(GeluSigmoid, const simd::batch<C>& x) {
  return times_sigmoid2<C>(x, x * simd::fill<C>(C(1.702 * 1.4426950408889634)));
}
template <class C>
simd::batch<C> activate(Relu, const simd::batch<C>& x) { return simd::at_least<C>(x, C(0)); }
/// n/(n + 2) with n = e^x (e^x + 2); from 20 on that is 1, and the square cannot overflow.
template <class C>
simd::batch<C> activate(Mish, const simd::batch<C>& x) {
  const simd::batch<C> two = simd::fill<C>(C(2)), bounded = -simd::at_least<C>(-x, C(-20));
  const simd::batch<C> e = simd::exp2<C>(bounded * simd::fill<C>(C(1.4426950408889634))), n = e * (e + two);
  return x * (n / (n + two));
}
template <class C>
simd::batch<C> activate(Gelu, const simd::batch<C>& x) {
  if constexpr (std::is_same_v<C, double>) {  // xsimd's erf of doubles is off by 35 ulp; f64 is for references
    alignas(64) double v[simd::lanes<double>];
    simd::store_compute<double>(v, x);
    for (double& e : v) e = Gelu{}(e);
    return simd::load_compute<double>(v);
  } else {
    return simd::fill<C>(C(0.5)) * x * (simd::fill<C>(C(1)) + erf(x * simd::fill<C>(C(0.7071067811865476))));
  }
}

/// 1 / (1 + 2^-u)
template <class C>
simd::batch<C> sigmoid2(const simd::batch<C>& u) {
  const simd::batch<C> zero = simd::fill<C>(C(0));
  return simd::exp2<C>(simd::min<C>(u, zero)) / (simd::fill<C>(C(1)) + simd::exp2<C>(simd::min<C>(u, -u)));
}

// Derivatives. That of x sigmoid(u) is s + x s (1 - s) u', with s(1 - s) as s sigmoid(-u), which does not cancel.
template <class C>
simd::batch<C> derivative(Identity, const simd::batch<C>&) { return simd::fill<C>(C(1)); }
template <class C>
simd::batch<C> derivative(Silu, const simd::batch<C>& x) {
  const simd::batch<C> u = x * simd::fill<C>(C(1.4426950408889634)), s = sigmoid2<C>(u);
  return simd::fma<C>(x * s, sigmoid2<C>(-u), s);
}
template <class C>
simd::batch<C> derivative(GeluTanh, const simd::batch<C>& x) {
  constexpr double k = 2 * 0.7978845608028654, log2_e = 1.4426950408889634;
  const simd::batch<C> square = x * x, u = x * simd::fma<C>(square, simd::fill<C>(C(k * log2_e * 0.044715)), simd::fill<C>(C(k * log2_e))), s = sigmoid2<C>(u);
  const simd::batch<C> slope = simd::fma<C>(square, simd::fill<C>(C(3 * k * 0.044715)), simd::fill<C>(C(k)));
  return simd::fma<C>(x * s * slope, sigmoid2<C>(-u), s);
}
template <class C>
simd::batch<C> derivative(GeluSigmoid, const simd::batch<C>& x) {
  const simd::batch<C> u = x * simd::fill<C>(C(1.702 * 1.4426950408889634)), s = sigmoid2<C>(u);
  return simd::fma<C>(x * s * simd::fill<C>(C(1.702)), sigmoid2<C>(-u), s);
}
template <class C>
simd::batch<C> derivative(Relu, const simd::batch<C>& x) {  // x/|x| of what is positive
  return simd::at_least<C>(x, C(0)) / simd::max<C>(simd::max<C>(x, -x), simd::fill<C>(std::numeric_limits<C>::min()));
}
/// With n = e^x (e^x + 2), tanh(log(1 + e^x)) = n/(n + 2); its square is short of 1 by 4 (n + 1)/(n + 2)^2.
template <class C>
simd::batch<C> derivative(Mish, const simd::batch<C>& x) {
  const simd::batch<C> one = simd::fill<C>(C(1)), two = simd::fill<C>(C(2)), bounded = -simd::at_least<C>(-x, C(-20));
  const simd::batch<C> u = bounded * simd::fill<C>(C(1.4426950408889634)), e = simd::exp2<C>(u), n = e * (e + two), m = n + two;
  return simd::fma<C>(x * simd::fill<C>(C(4)) * (n + one) / (m * m), sigmoid2<C>(u), n / m);
}
/// (1 + erf(x/sqrt(2)))/2 + x e^(-x^2/2)/sqrt(2 pi)
template <class C>
simd::batch<C> derivative(Gelu, const simd::batch<C>& x) {
  const simd::batch<C> density = simd::exp2<C>(x * x * simd::fill<C>(C(-0.5 * 1.4426950408889634))) * simd::fill<C>(C(0.3989422804014327));
  simd::batch<C> below;
  if constexpr (std::is_same_v<C, double>) {  // see activate(Gelu)
    alignas(64) double v[simd::lanes<double>];
    simd::store_compute<double>(v, x);
    for (double& e : v) e = 0.5 * (1 + math::erf(0.7071067811865476 * e));
    below = simd::load_compute<double>(v);
  } else {
    below = simd::fill<C>(C(0.5)) * (simd::fill<C>(C(1)) + erf(x * simd::fill<C>(C(0.7071067811865476))));
  }
  return simd::fma<C>(x, density, below);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
