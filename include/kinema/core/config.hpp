// kinema/core/config.hpp - build switches, host-device marks and the ABI tag.
//
// Every switch that changes an inline definition is part of the mangled name of everything in kinema:
// two translation units that disagree fail to link instead of misbehaving.
#pragma once

#include <kinema/version.hpp>

// Third parties are off unless the build says otherwise; CMake components set these.
#ifndef KINEMA_WITH_CUDA
#define KINEMA_WITH_CUDA 0
#endif
#ifndef KINEMA_WITH_ONEDNN
#define KINEMA_WITH_ONEDNN 0
#endif
#ifndef KINEMA_WITH_EIGEN
#define KINEMA_WITH_EIGEN 0
#endif
#ifndef KINEMA_WITH_XSIMD
#define KINEMA_WITH_XSIMD 0
#endif

// 0: kernels are inline (headers alone).  1: kernels are declared here and defined once, in generated one-line units.
#ifndef KINEMA_KERNELS_APART
#define KINEMA_KERNELS_APART KINEMA_WITH_CUDA
#endif
#if KINEMA_WITH_CUDA && !KINEMA_KERNELS_APART
#error "kinema: KINEMA_WITH_CUDA needs KINEMA_KERNELS_APART=1 (kernels are compiled once, by the right compiler)"
#endif
#if defined(__CUDACC__) && !KINEMA_KERNELS_APART
#error "kinema: .cu files need KINEMA_KERNELS_APART=1 (link kinema::cuda or kinema::kernels)"
#endif

// The instruction set that this translation unit was compiled for.
#if defined(__AVX512BF16__)
#define KINEMA_ISA avx512bf16
#elif defined(__AVX512F__)
#define KINEMA_ISA avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define KINEMA_ISA avx2
#elif defined(__SSE4_2__)
#define KINEMA_ISA sse42
#else
#define KINEMA_ISA base
#endif

#if defined(_OPENMP)
#define KINEMA_WITH_OPENMP 1
#else
#define KINEMA_WITH_OPENMP 0
#endif

#define KINEMA_JOIN_(a, b, c, d, e, f) v0_##a##_omp##b##_dnn##c##_eigen##d##_simd##e##_cuda##f
#define KINEMA_JOIN(a, b, c, d, e, f) KINEMA_JOIN_(a, b, c, d, e, f)
#define KINEMA_APART_(c) v0_apart_cuda##c
#define KINEMA_APART(c) KINEMA_APART_(c)
#if KINEMA_KERNELS_APART
// Kernel bodies are hidden, so the instruction set and the CPU libraries drop out of the name.
#define KINEMA_ABI KINEMA_APART(KINEMA_WITH_CUDA)
#define KINEMA_KERNEL
#else
#define KINEMA_ABI \
  KINEMA_JOIN(KINEMA_ISA, KINEMA_WITH_OPENMP, KINEMA_WITH_ONEDNN, KINEMA_WITH_EIGEN, KINEMA_WITH_XSIMD, KINEMA_WITH_CUDA)
#define KINEMA_KERNEL inline
#endif

#define KINEMA_STRING_(x) #x
#define KINEMA_STRING(x) KINEMA_STRING_(x)

// Functions that device code may call.
#if defined(__CUDACC__)
#define KINEMA_HD __host__ __device__
#else
#define KINEMA_HD
#endif

/// Everything lives in kinema; the inline namespace spells the build switches for the linker.
namespace kinema::inline KINEMA_ABI {}
