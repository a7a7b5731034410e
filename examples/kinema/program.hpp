// examples/kinema/program.hpp - the program behind main(): everything that needs the instruction set it was built for.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace program {

/// What everything but main.cpp is compiled for, bits of kinema::CpuFeature. A constant: it is read before anything runs.
extern const unsigned built_for_features;

/// Parses, runs and reports; returns the exit code.
int run_program(int argc, char** argv);

/// Version, compiler, instruction set and libraries of this program, by name.
std::vector<std::pair<std::string, std::string>> build_facts();
/// What --version prints.
std::string version_text();
/// What --list-devices prints.
std::string devices_text();

}  // namespace program
