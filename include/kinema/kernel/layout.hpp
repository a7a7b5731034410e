// kinema/kernel/layout.hpp - contract of the copy between two windows: what every change of layout comes down to.
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

}  // namespace kinema::inline KINEMA_ABI::kernel
