// tests/support/tolerance.hpp - how far a result may be from the exact one: derived from the type and the length of sums.
//
// Sums of products: |error| <= c u |A||B| + u_out |result| with c = 4 + 1.5 sqrt(l), l the longest chain of additions one
// after the other (Higham and Mary 2019). Never relative to the result alone: that fails under cancellation and passes
// wrong large values.
#pragma once

#include <kinema/core/dtype.hpp>

#include <cmath>
#include <cstdint>

namespace kinema::test {

/// Half the spacing of T at 1.
inline double unit_roundoff(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-53;
    case DType::f32: return 0x1p-24;
    case DType::f16: return 0x1p-11;
    default: return 0x1p-8;
  }
}
/// Of the type in which arithmetic on T happens.
inline double compute_roundoff(DType t) { return unit_roundoff(t == DType::f64 ? DType::f64 : DType::f32); }
/// Below this, values of T lose digits: the absolute error that one rounding may have.
inline double smallest_step(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-1074;
    case DType::f16: return 0x1p-24;
    case DType::bf16: return 0x1p-133;
    default: return 0x1p-149;
  }
}

/// The factor of u for a sum whose longest chain has `chain` additions.
inline double sum_factor(std::int64_t chain) { return 4 + 1.5 * std::sqrt(static_cast<double>(chain)); }

/// For a sum of products in the compute type of T: `magnitude` is the sum of the products' absolute values.
inline double sum_tolerance(DType t, std::int64_t chain, double magnitude, double result) {
  return sum_factor(chain) * compute_roundoff(t) * magnitude + 1.01 * unit_roundoff(t) * std::abs(result) + smallest_step(t);
}
/// For `steps` roundings in the compute type on values up to `magnitude`, then one rounding to T.
inline double pointwise_tolerance(DType t, double steps, double magnitude, double result) {
  return steps * compute_roundoff(t) * magnitude + 1.01 * unit_roundoff(t) * std::abs(result) + smallest_step(t);
}

}  // namespace kinema::test
