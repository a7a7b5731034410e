// examples/kinema/main.cpp - checks the processor before any instruction that it may not have.
//
// This file alone is compiled for the oldest x86-64; it must not include kinema's headers, whose inline functions would
// then exist in two versions.
#include "program.hpp"

#include <cstdio>
#include <cstring>

namespace {

/// The first extension that the program was built for and this processor lacks; null if it has all.
const char* missing_extension() {
#if defined(__x86_64__)
  const char* built_for = program::built_for;
  __builtin_cpu_init();
  const bool avx512 = std::strncmp(built_for, "avx512", 6) == 0, avx2 = avx512 || std::strcmp(built_for, "avx2") == 0;
  if (std::strcmp(built_for, "base") != 0 && !__builtin_cpu_supports("sse4.2")) return "SSE 4.2";
  if (avx2 && !__builtin_cpu_supports("avx2")) return "AVX2";
  if (avx2 && !__builtin_cpu_supports("fma")) return "FMA";
  if (avx512 && !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))) return "AVX-512";
  if (std::strcmp(built_for, "avx512bf16") == 0 && !__builtin_cpu_supports("avx512bf16")) return "AVX-512 BF16";
#endif
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (const char* missing = missing_extension()) {
    std::fprintf(stderr, "error: this program was built for processors with %s, which this one lacks; build it here, or with -DKINEMA_MARCH=x86-64-v2\n", missing);
    return 1;
  }
  return program::run_program(argc, argv);
}
