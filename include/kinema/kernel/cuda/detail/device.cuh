// kinema/kernel/cuda/detail/device.cuh - the dozen words of device code: launch, shared, sync_block, shuffle_xor, ...
//
// Kernels use these instead of <<<>>>, __shared__ and intrinsics, so that the same .cuh files also run on the CPU:
// under nvcc the words are defined below, under a host compiler by tests/support/host_execution.hpp.
#pragma once

#include <kinema/core/dtype.hpp>

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace kinema::inline KINEMA_ABI::kernel::cuda::device {

inline constexpr int warp_size = 32;
inline constexpr unsigned all_lanes = 0xffffffffu;

/// Sizes and indices of grids and blocks.
struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

struct Launch {
  Extent grid, block;
  std::size_t shared_bytes = 0;
};

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda::device

#if defined(__CUDACC__)

#include <kinema/kernel/cuda/detail/context.hpp>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace kinema::inline KINEMA_ABI::kernel::cuda::device {

/// The block's shared memory, as many bytes as the launch asked for. Contents undefined at first.
template <class T>
__device__ T* shared() {
  extern __shared__ __align__(128) unsigned char shared_memory_of_block[];
  return reinterpret_cast<T*>(shared_memory_of_block);
}

__device__ inline Extent thread() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
__device__ inline Extent block() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
__device__ inline Extent block_extent() { return {blockDim.x, blockDim.y, blockDim.z}; }
__device__ inline Extent grid_extent() { return {gridDim.x, gridDim.y, gridDim.z}; }

/// Every thread of the block arrives before any goes on; memory written before is visible after.
__device__ inline void sync_block() { __syncthreads(); }
__device__ inline void sync_warp() { __syncwarp(); }
/// v of lane (own lane xor mask). All lanes of the warp must take part.
template <class T> __device__ T shuffle_xor(T v, int mask) { return __shfl_xor_sync(all_lanes, v, mask); }
/// v of lane `lane`. All lanes of the warp must take part.
template <class T> __device__ T shuffle(T v, int lane) { return __shfl_sync(all_lanes, v, lane); }
__device__ inline void atomic_add(float* to, float v) { atomicAdd(to, v); }

/// One rounding, to nearest even; one instruction each.
template <class T, class V>
__device__ T narrow(V v) {
  if constexpr (std::is_same_v<V, double>) {
    if constexpr (std::is_same_v<T, double>) return v;
    else if constexpr (std::is_same_v<T, bf16>) return __builtin_bit_cast(bf16, __double2bfloat16(v));
    else if constexpr (std::is_same_v<T, f16>) return __builtin_bit_cast(f16, __double2half(v));
    else return static_cast<T>(v);
  } else if constexpr (std::is_same_v<T, bf16>) {
    return __builtin_bit_cast(bf16, __float2bfloat16_rn(v));
  } else if constexpr (std::is_same_v<T, f16>) {
    return __builtin_bit_cast(f16, __float2half_rn(v));
  } else {
    return static_cast<T>(v);
  }
}
template <class T>
__device__ compute_t<T> widen(T v) {
  if constexpr (std::is_same_v<T, f16>) {
    return __half2float(__builtin_bit_cast(__half, v));
  } else {
    return static_cast<compute_t<T>>(v);
  }
}

/// Starts `kernel` on the context's stream. Throws BackendError with the op's name.
template <class... P, class... A>
void launch(CudaContext& ctx, std::string_view op, const Launch& how, void (*kernel)(P...), const A&... arguments) {
  constexpr std::size_t always_there = 48 * 1024;  // more shared memory must be asked for, per kernel
  if (how.shared_bytes > always_there) {
    if (how.shared_bytes > ctx.properties().shared_bytes)
      throw Unsupported(cat(op, ": needs ", how.shared_bytes, " bytes of shared memory per block, ", ctx.device(), " has ", ctx.properties().shared_bytes));
    KINEMA_CUDA(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(how.shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(how.grid.x, how.grid.y, how.grid.z);
  config.blockDim = dim3(how.block.x, how.block.y, how.block.z);
  config.dynamicSmemBytes = how.shared_bytes;
  config.stream = ctx.stream();
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, P(arguments)...);
  if (status != cudaSuccess) check(status, cat("launch of ", op));
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda::device

#elif __has_include("support/host_execution.hpp")
#include "support/host_execution.hpp"
#else
#error "kinema: .cuh files are compiled by nvcc (or, in tests, by a host compiler with tests/ on the include path)"
#endif
