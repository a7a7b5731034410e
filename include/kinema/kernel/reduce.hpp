// kinema/kernel/reduce.hpp - contracts of the reductions.
#pragma once

#include <kinema/kernel/elementwise.hpp>  // bytes_of
#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {
/// What Reduce does.
enum class Reduction : unsigned char { sum, mean, max };
/// As in the names of ops.
constexpr std::string_view name_of(Reduction r) {
  switch (r) {
    case Reduction::sum: return "sum";
    case Reduction::mean: return "mean";
    default: return "max";
  }
}

/// Reduces the trailing axes of x. Sums run in f64 in an order that depends on the shape alone, and are rounded once.
/// An empty sum is 0, an empty mean NaN. A NaN makes the maximum NaN.
struct Reduce {
  static constexpr std::string_view name = "reduce";
  Ref x;  ///< [kept axes of y ..., reduced axes ...] floating, any strides
  Ref y;  ///< [kept axes] dtype of x, contiguous, written
  Reduction reduction;
  double flops() const { return detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Reduce&);  // kernel/cpu/reduce.hpp

/// Index, in row-major order, of the first NaN or infinity; -1 if all elements are finite.
struct FirstNonFinite {
  static constexpr std::string_view name = "first_non_finite";
  Ref x;  ///< floating, contiguous
  Ref y;  ///< [1] i64, written
  double flops() const { return 0; }
  double bytes() const { return detail::bytes_of(x); }
};
KINEMA_KERNEL void run(CpuContext&, const FirstNonFinite&);

}  // namespace kinema::inline KINEMA_ABI::kernel
