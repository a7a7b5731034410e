// examples/kinema/program.hpp - the program behind main(): everything that needs the instruction set it was built for.
#pragma once

#include <string>

namespace program {

/// What everything but main.cpp is compiled for, bits of kinema::CpuFeature. A constant: it is read before anything runs.
extern const unsigned built_for_features;

/// Parses, runs and reports; returns the exit code.
int run_program(int argc, char** argv);

/// What --version prints.
std::string version_text();
/// What --list-devices prints.
std::string devices_text();

}  // namespace program
