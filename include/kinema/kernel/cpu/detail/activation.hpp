// kinema/kernel/cpu/detail/activation.hpp - the activations over SIMD batches, through one exponential that cannot overflow.
//
// SiLU, tanh-GELU and sigmoid-GELU are all x sigmoid(u). With e = exp(-|u|) in (0, 1], the sigmoid is 1/(1+e) for positive and e/(1+e)
// for negative u, so  x sigmoid(u) = (max(x, 0) + min(x, 0) e) / (1 + e)  if u has the sign of x. No branch, no overflow,
// and a relative error of a few ulp on both sides, where 1 + tanh(u) cancels for negative u.
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/functor.hpp>

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

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
