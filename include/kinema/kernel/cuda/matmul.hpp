// kinema/kernel/cuda/matmul.hpp - matrix products through cuBLASLt. Host code: any compiler.
#pragma once

#include <kinema/kernel/cuda/detail/cublaslt.hpp>
#include <kinema/kernel/cuda/detail/product.hpp>

namespace kinema::inline KINEMA_ABI::kernel {

void run(CudaContext& ctx, const Linear& op) { cuda::linear(ctx, ctx.library<cuda::CublasLt>(), op); }

void run(CudaContext& ctx, const MatMul& op) { cuda::matmul(ctx, ctx.library<cuda::CublasLt>(), op); }

}  // namespace kinema::inline KINEMA_ABI::kernel
