// kinema/kernel/cpu/detail/convert.hpp - between floating element types, each value rounded once.
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/tensor/view.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// A double as T, rounded once. On the way to 16 bits a plain double → float → T would round twice: the float in between
/// is rounded to odd instead, which keeps enough of the lost bits for the second step to be right (Boldo, Melquiond 2008).
template <class T>
T round_to(double v) {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    return static_cast<T>(v);
  } else {
    const float f = static_cast<float>(v);
    const double back = f;
    if (back == v || v != v) return T(f);
    std::uint32_t bits = __builtin_bit_cast(std::uint32_t, f);
    if (math::abs(back) > math::abs(v)) --bits;  // towards zero; infinity becomes the largest float
    return T(__builtin_bit_cast(float, bits | 1u));
  }
}
template <class T>
T round_to(float v) { return static_cast<T>(v); }

/// y[i] = x[i] for n contiguous elements.
template <class X, class Y>
void convert(std::int64_t n, const X* x, Y* y) {
  if constexpr (std::is_same_v<compute_t<X>, float> && std::is_same_v<compute_t<Y>, float>) {
    simd::transform<Y>(n, y, [](const simd::batch<float>& v) { return v; }, x);
  } else if constexpr (std::is_same_v<X, double>) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = round_to<Y>(x[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<Y>(static_cast<float>(x[i]));
  }
}

/// Calls f(Type<T>{}) for the type that the weights of a product are stored in: floating, or 8-bit integers.
template <class F>
decltype(auto) dispatch_weight(DType t, std::string_view op, F&& f) {
  if (t == DType::i8) return f(Type<std::int8_t>{});
  return dispatch_floating(t, op, f);
}

/// A small floating operand [A, G, C] with stride 1 on its last axis, widened to the compute type into `to`, contiguous.
template <class C>
View<const C, 3> widened(const Ref& x, C* to) {
  const std::int64_t a = x.shape[0], g = x.shape[1], c = x.shape[2];
  dispatch_floating(x.dtype, "widened", [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < a * g; ++i)
      convert(c, static_cast<const T*>(x.data) + i / g * x.stride[0] + i % g * x.stride[1], to + i * c);
  });
  return {to, {a, g, c}, {g * c, c, 1}};
}

/// A floating vector [C], contiguous, widened into `to`.
template <class C>
void widen(const Ref& x, C* to) {
  dispatch_floating(x.dtype, "widen", [&]<class T>(Type<T>) { convert(x.shape[0], static_cast<const T*>(x.data), to); });
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
