// examples/kinema/main.cpp - checks the processor before any instruction that it may not have.
//
// This file alone is compiled for the oldest x86-64 (examples/CMakeLists.txt), and of kinema it includes only the header
// that is made for this. The check is a constructor with the earliest priority that programs may use: the constructors
// of the other files' variables already have the instructions in question.
#include "program.hpp"

#include <kinema/runtime/cpu_features.hpp>

#include <cstdio>
#include <cstdlib>

namespace {

[[gnu::constructor(101)]] void check_processor() {
  const char* missing = kinema::missing_cpu_feature(program::built_for_features);
  if (!missing) return;
  std::fprintf(stderr, "error: this program was built for processors with %s, which this one lacks; build it here, or with -DKINEMA_MARCH=x86-64-v2\n", missing);
  std::fflush(stderr);
  std::_Exit(1);
}

}  // namespace

int main(int argc, char** argv) { return program::run_program(argc, argv); }
