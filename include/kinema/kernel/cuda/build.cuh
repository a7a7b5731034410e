// kinema/kernel/cuda/build.cuh - which architectures the device kernels of this program were compiled for.
#pragma once

#include <kinema/kernel/cuda/detail/context.hpp>
#include <kinema/kernel/cuda/detail/device.cuh>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

/// Does nothing; its presence in a loadable form stands for that of all kernels, which share one command line.
template <int = 0> __global__ void presence() {}

std::string why_no_kernels(const Properties& properties) {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&presence<>));
  if (status == cudaSuccess) return {};
  (void)cudaGetLastError();
  if (status != cudaErrorNoKernelImageForDevice && status != cudaErrorInvalidDeviceFunction)
    return call_failed("cudaFuncGetAttributes(&attributes, presence)", static_cast<int>(status), cudaGetErrorName(status), cudaGetErrorString(status));
  constexpr int built[] = {__CUDA_ARCH_LIST__};
  return cat("the kernels of this program were built for ", architectures_text(built, sizeof built / sizeof built[0]),
             ", the device is sm_", properties.major, properties.minor);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
