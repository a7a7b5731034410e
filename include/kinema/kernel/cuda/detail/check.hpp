// kinema/kernel/cuda/detail/check.hpp - CUDA statuses become BackendError with the text of the call.
#pragma once

#include <kinema/kernel/cuda/detail/availability.hpp>

#include <cuda_runtime_api.h>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

static_assert(Status::out_of_memory == cudaErrorMemoryAllocation && Status::insufficient_driver == cudaErrorInsufficientDriver &&
              Status::no_device == cudaErrorNoDevice && Status::no_kernel_image == cudaErrorNoKernelImageForDevice &&
              Status::ecc_uncorrectable == cudaErrorECCUncorrectable && Status::illegal_address == cudaErrorIllegalAddress &&
              Status::launch_timeout == cudaErrorLaunchTimeout && Status::misaligned_address == cudaErrorMisalignedAddress &&
              Status::launch_failure == cudaErrorLaunchFailure && Status::system_driver_mismatch == cudaErrorSystemDriverMismatch);

/// Throws BackendError unless `status` is success. `call` is what was called, in source form.
inline void check(cudaError_t status, std::string_view call) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // the runtime would repeat a recoverable error at the next check
  throw BackendError(call_failed(call, static_cast<int>(status), cudaGetErrorName(status), cudaGetErrorString(status)));
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda

/// Makes a call and hands its text to check().
#define KINEMA_CUDA(call) ::kinema::kernel::cuda::check((call), #call)
