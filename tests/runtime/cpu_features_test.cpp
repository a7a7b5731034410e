// tests/runtime/cpu_features_test.cpp - missing extensions are named, present ones are not.
#include <kinema/runtime/cpu_features.hpp>

#include "support/catch.hpp"

#include <fstream>
#include <string>

using namespace kinema;

namespace {
/// The operating system's own list of what the processor has.
bool listed(const std::string& flag) {
  std::ifstream info("/proc/cpuinfo");
  for (std::string word; info >> word;)
    if (word == flag) return true;
  return false;
}
}  // namespace

TEST_CASE("what this test was compiled for is there, as it is running") {
  CHECK(missing_cpu_feature(compiled_cpu_features) == nullptr);
  CHECK(missing_cpu_feature(0) == nullptr);
}

#if defined(__x86_64__)
TEST_CASE("each extension is missing exactly where the operating system does not list it") {
  const struct { unsigned feature; const char *flag, *name; } all[] = {
      {cpu_sse42, "sse4_2", "SSE 4.2"},         {cpu_popcnt, "popcnt", "POPCNT"},         {cpu_avx, "avx", "AVX"},
      {cpu_avx2, "avx2", "AVX2"},               {cpu_fma, "fma", "FMA"},                  {cpu_bmi, "bmi1", "BMI"},
      {cpu_bmi2, "bmi2", "BMI2"},               {cpu_avx512f, "avx512f", "AVX-512F"},     {cpu_avx512bw, "avx512bw", "AVX-512BW"},
      {cpu_avx512dq, "avx512dq", "AVX-512DQ"},  {cpu_avx512vl, "avx512vl", "AVX-512VL"},  {cpu_avx512vnni, "avx512_vnni", "AVX-512 VNNI"},
      {cpu_avx512bf16, "avx512_bf16", "AVX-512 BF16"}};
  for (const auto& each : all) {
    INFO(each.name);
    const char* missing = missing_cpu_feature(each.feature);
    CHECK((missing == nullptr) == listed(each.flag));
    if (missing) CHECK(missing == std::string(each.name));
  }
}
#endif
