// kinema/core/dtype.hpp - element types: DType, the storage types bf16 and f16, and dispatch from one to the other.
//
// bf16 and f16 hold bits; arithmetic happens in float, so "accumulate in f32" is the default and not a policy.
#pragma once

#include <kinema/core/config.hpp>
#include <kinema/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI {

/// bfloat16: the upper half of a float. Explicit from float (to nearest even, NaN stays NaN), implicit to float.
struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  KINEMA_HD explicit bf16(float f) {
    const auto u = __builtin_bit_cast(std::uint32_t, f);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? std::uint16_t((u >> 16) | 0x40u)
                                           : std::uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  KINEMA_HD operator float() const { return __builtin_bit_cast(float, std::uint32_t(bits) << 16); }
};

/// IEEE half. Explicit from float (to nearest even, NaN stays NaN, overflow to infinity), implicit to float.
struct f16 {
  std::uint16_t bits = 0;
  f16() = default;
  KINEMA_HD explicit f16(float f) : bits(round(f)) {}
  KINEMA_HD operator float() const { return widen(bits); }

 private:
  KINEMA_HD static std::uint16_t round(float f) {
    const auto u = __builtin_bit_cast(std::uint32_t, f);
    const std::uint32_t sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) return std::uint16_t(sign | 0x7e00u | ((mag >> 13) & 0x3ffu));  // NaN, made quiet
    if (mag >= 0x477ff000u) return std::uint16_t(sign | 0x7c00u);                           // rounds to infinity
    if (mag < 0x38800000u) {                                                                // subnormal or zero
      const float scaled = __builtin_bit_cast(float, mag) + 0.5f;  // the adder rounds to nearest even at 2^-24
      return std::uint16_t(sign | (__builtin_bit_cast(std::uint32_t, scaled) - 0x3f000000u));
    }
    return std::uint16_t(sign | ((mag - 0x38000000u + 0xfffu + ((mag >> 13) & 1u)) >> 13));
  }
  KINEMA_HD static float widen(std::uint16_t h) {
    const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16, mag = h & 0x7fffu;
    if (mag >= 0x7c00u) return __builtin_bit_cast(float, sign | 0x7f800000u | ((mag & 0x3ffu) << 13));
    if (mag < 0x0400u) {  // exact: an integer times 2^-24
      const float f = float(mag) * 5.9604644775390625e-8f;
      return __builtin_bit_cast(float, sign | __builtin_bit_cast(std::uint32_t, f));
    }
    return __builtin_bit_cast(float, sign | ((mag << 13) + 0x38000000u));
  }
};

static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2);
/// Types of elements. Arithmetic is in f64 or f32; the other types are storage.
enum class DType : std::uint8_t { f64, f32, bf16, f16, i64, i32, u8, boolean, i8 };
/// A type as a value, for dispatch.
template <class T> struct Type { using type = T; };

template <class T> inline constexpr bool is_element = false;  ///< whether tensors hold T
template <class T> inline constexpr DType dtype_of = DType::u8;  ///< the DType of the C++ type T
#define KINEMA_ELEMENT(T, D)                        \
  template <> inline constexpr bool is_element<T> = true; \
  template <> inline constexpr DType dtype_of<T> = DType::D;
KINEMA_ELEMENT(double, f64)
KINEMA_ELEMENT(float, f32)
KINEMA_ELEMENT(bf16, bf16)
KINEMA_ELEMENT(f16, f16)
KINEMA_ELEMENT(std::int64_t, i64)
KINEMA_ELEMENT(std::int32_t, i32)
KINEMA_ELEMENT(std::uint8_t, u8)
KINEMA_ELEMENT(bool, boolean)
KINEMA_ELEMENT(std::int8_t, i8)
#undef KINEMA_ELEMENT

/// The type in which arithmetic on T happens: double for double, float for the other floating types.
template <class T> struct compute_type { using type = float; };
template <> struct compute_type<double> { using type = double; };
template <class T> using compute_t = typename compute_type<T>::type;  ///< compute_type, short
/// Bytes of an element.
constexpr std::size_t size_of(DType t) {
  switch (t) {
    case DType::f64: case DType::i64: return 8;
    case DType::f32: case DType::i32: return 4;
    case DType::bf16: case DType::f16: return 2;
    case DType::u8: case DType::boolean: case DType::i8: return 1;
  }
  return 0;
}
/// Whether it is f64, f32, bf16 or f16.
constexpr bool is_floating(DType t) {
  return t == DType::f64 || t == DType::f32 || t == DType::bf16 || t == DType::f16;
}
/// "f32", "bool" …
constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f64: return "f64";
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i64: return "i64";
    case DType::i32: return "i32";
    case DType::u8: return "u8";
    case DType::boolean: return "bool";
    case DType::i8: return "i8";
  }
  return "?";
}
inline std::string to_string(DType t) { return std::string(name_of(t)); }  ///< name_of, as cat() wants it

/// Calls f(Type<T>{}) for the floating C++ type behind `t`; throws DTypeError otherwise.
template <class F>
decltype(auto) dispatch_floating(DType t, std::string_view op, F&& f) {
  switch (t) {
    case DType::f64: return f(Type<double>{});
    case DType::f32: return f(Type<float>{});
    case DType::bf16: return f(Type<bf16>{});
    case DType::f16: return f(Type<f16>{});
    default: throw DTypeError(cat(op, ": needs a floating element type, got ", name_of(t)));
  }
}

/// Calls f(Type<T>{}) for the C++ type behind `t`.
template <class F>
decltype(auto) dispatch_any(DType t, F&& f) {
  switch (t) {
    case DType::f64: return f(Type<double>{});
    case DType::f32: return f(Type<float>{});
    case DType::bf16: return f(Type<bf16>{});
    case DType::f16: return f(Type<f16>{});
    case DType::i64: return f(Type<std::int64_t>{});
    case DType::i32: return f(Type<std::int32_t>{});
    case DType::u8: return f(Type<std::uint8_t>{});
    case DType::i8: return f(Type<std::int8_t>{});
    default: return f(Type<bool>{});
  }
}

}  // namespace kinema::inline KINEMA_ABI
