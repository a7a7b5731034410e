// kinema/runtime/cpu_features.hpp - does this processor have what a unit was compiled for? Asked before it matters.
//
// A program built for AVX-512 dies of an illegal instruction on an older processor. To say so in a sentence instead, put
// `compiled_cpu_features` into a constant in a unit with the program's flags, and call missing_cpu_feature() first thing
// in a unit that is compiled for the oldest processor (-march=x86-64) and uses nothing else of kinema.
#pragma once

#include <kinema/core/config.hpp>

namespace kinema::inline KINEMA_ABI {

/// One bit per extension. The order is the one in which a missing one is named: the oldest first.
enum CpuFeature : unsigned {
  cpu_sse42 = 1u << 0, cpu_popcnt = 1u << 1, cpu_avx = 1u << 2, cpu_avx2 = 1u << 3, cpu_fma = 1u << 4, cpu_bmi = 1u << 5, cpu_bmi2 = 1u << 6,
  cpu_avx512f = 1u << 7, cpu_avx512bw = 1u << 8, cpu_avx512dq = 1u << 9, cpu_avx512vl = 1u << 10, cpu_avx512vnni = 1u << 11, cpu_avx512bf16 = 1u << 12,
};

/// What this unit is compiled for. Internal linkage: units may differ.
constexpr unsigned compiled_cpu_features = 0u
#if defined(__SSE4_2__)
                                           | cpu_sse42
#endif
#if defined(__POPCNT__)
                                           | cpu_popcnt
#endif
#if defined(__AVX__)
                                           | cpu_avx
#endif
#if defined(__AVX2__)
                                           | cpu_avx2
#endif
#if defined(__FMA__)
                                           | cpu_fma
#endif
#if defined(__BMI__)
                                           | cpu_bmi
#endif
#if defined(__BMI2__)
                                           | cpu_bmi2
#endif
#if defined(__AVX512F__)
                                           | cpu_avx512f
#endif
#if defined(__AVX512BW__)
                                           | cpu_avx512bw
#endif
#if defined(__AVX512DQ__)
                                           | cpu_avx512dq
#endif
#if defined(__AVX512VL__)
                                           | cpu_avx512vl
#endif
#if defined(__AVX512VNNI__)
                                           | cpu_avx512vnni
#endif
#if defined(__AVX512BF16__)
                                           | cpu_avx512bf16
#endif
    ;

/// Name of the first extension in `compiled` that this processor (or its operating system) lacks; null if it has all.
inline const char* missing_cpu_feature(unsigned compiled) {
#if defined(__x86_64__) && !defined(__CUDACC__)
  __builtin_cpu_init();
  if ((compiled & cpu_sse42) && !__builtin_cpu_supports("sse4.2")) return "SSE 4.2";
  if ((compiled & cpu_popcnt) && !__builtin_cpu_supports("popcnt")) return "POPCNT";
  if ((compiled & cpu_avx) && !__builtin_cpu_supports("avx")) return "AVX";
  if ((compiled & cpu_avx2) && !__builtin_cpu_supports("avx2")) return "AVX2";
  if ((compiled & cpu_fma) && !__builtin_cpu_supports("fma")) return "FMA";
  if ((compiled & cpu_bmi) && !__builtin_cpu_supports("bmi")) return "BMI";
  if ((compiled & cpu_bmi2) && !__builtin_cpu_supports("bmi2")) return "BMI2";
  if ((compiled & cpu_avx512f) && !__builtin_cpu_supports("avx512f")) return "AVX-512F";
  if ((compiled & cpu_avx512bw) && !__builtin_cpu_supports("avx512bw")) return "AVX-512BW";
  if ((compiled & cpu_avx512dq) && !__builtin_cpu_supports("avx512dq")) return "AVX-512DQ";
  if ((compiled & cpu_avx512vl) && !__builtin_cpu_supports("avx512vl")) return "AVX-512VL";
  if ((compiled & cpu_avx512vnni) && !__builtin_cpu_supports("avx512vnni")) return "AVX-512 VNNI";
  if ((compiled & cpu_avx512bf16) && !__builtin_cpu_supports("avx512bf16")) return "AVX-512 BF16";
#else
  static_cast<void>(compiled);
#endif
  return nullptr;
}

}  // namespace kinema::inline KINEMA_ABI
