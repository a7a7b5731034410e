// examples/kinema/program.hpp - the program behind main(): everything that needs the instruction set it was built for.
#pragma once

#include <string>

namespace program {

/// The instruction set of everything but main.cpp: base, sse42, avx2, avx512 or avx512bf16. Constant-initialised.
extern const char* const built_for;

/// Parses, runs and reports; returns the exit code.
int run_program(int argc, char** argv);

/// What --version prints.
std::string version_text();
/// What --list-devices prints.
std::string devices_text();

}  // namespace program
