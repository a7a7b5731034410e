// tests/support/reference/embedding.hpp - look-up tables from their definitions, in double and in integers.
#pragma once

#include <cmath>
#include <cstdint>

namespace kinema::test::reference {

/// Angle of frequency k at time t, every step rounded to float as the definition says.
inline double timestep_angle(double t, std::int64_t k, std::int64_t half, double shift) {
  const volatile float numerator = static_cast<float>(-std::log(10000.0)) * static_cast<float>(k);
  const volatile float exponent = numerator / static_cast<float>(static_cast<double>(half) - shift);
  const volatile float frequency = static_cast<float>(std::exp(static_cast<double>(exponent)));
  const volatile float angle = static_cast<float>(t) * frequency;
  return static_cast<double>(angle);
}

/// Bucket of a distance by search: the last one whose first distance is not beyond n. Bucket exact + j begins where
/// ln(n/exact)/ln(max/exact) reaches j/(half - exact), that is at n = exact (max/exact)^(j/(half - exact)).
inline std::int64_t position_bucket(std::int64_t r, std::int64_t buckets, std::int64_t max_distance) {
  const std::int64_t half = buckets / 2, exact = half / 2, n = std::abs(r), side = r > 0 ? half : 0;
  if (n < exact) return side + n;
  std::int64_t j = 0;
  while (j + 1 < half - exact &&
         static_cast<double>(n) >= static_cast<double>(exact) * std::pow(static_cast<double>(max_distance) / static_cast<double>(exact),
                                                                         static_cast<double>(j + 1) / static_cast<double>(half - exact)) * (1 - 1e-9))
    ++j;
  return side + exact + j;
}

}  // namespace kinema::test::reference
