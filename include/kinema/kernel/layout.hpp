// kinema/kernel/layout.hpp - contracts of the copy between two windows, and of the sum that undoes it.
#pragma once

#include <kinema/kernel/elementwise.hpp>  // bytes_of
#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// y[i] = x[i] for every index. Floating to floating rounds once to nearest even; equal types move bits.
struct Copy {
  static constexpr std::string_view name = "copy";
  Ref x;  ///< any strides; element type of y, or both floating
  Ref y;  ///< shape of x, any strides without overlap, written
  double flops() const { return 0; }
  double bytes() const { return detail::bytes_of(x) + detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Copy&);  // kernel/cpu/layout.hpp
void run(CudaContext&, const Copy&);               // kernel/cuda/layout.cuh

/// y[i] += x[i] for every index, in the type of y. Along axes where y has stride 0 the elements of x are summed first, in
/// f64 and in an order that depends on shapes alone: what undoes a broadcast.
struct Accumulate {
  static constexpr std::string_view name = "accumulate";
  Ref x;  ///< floating, any strides
  Ref y;  ///< f32 or f64, shape of x, strides without overlap or 0, read and written
  double flops() const { return detail::numel_of(x); }
  double bytes() const { return detail::bytes_of(x) + 2.0 * detail::bytes_of(y); }
};
KINEMA_KERNEL void run(CpuContext&, const Accumulate&);

}  // namespace kinema::inline KINEMA_ABI::kernel
