// examples/kinema/failure.hpp - exit codes, and the one error line that a failed run prints.
#pragma once

#include <stdexcept>
#include <string>

namespace program {

enum class ExitCode : int {
  ok = 0,
  failure = 1,      ///< run time
  usage = 2,        ///< command line
  file = 3,         ///< file or model
  memory = 4,
  device = 5,
  non_finite = 6,
  interrupted = 130,
};

/// An error whose exit code the program has decided.
struct Failure : std::runtime_error {
  Failure(ExitCode c, const std::string& message) : std::runtime_error(message), code(c) {}
  ExitCode code;
};

/// How a failed run ends.
struct Outcome {
  ExitCode code;
  std::string message;
};
/// Of the exception that is being handled.
Outcome current_failure();

/// Runs `body`, prints what it throws as "error: …" (once, at most 8,000 characters) and returns the exit code.
int guarded(int (*body)(int, char**), int argc, char** argv);

/// "warning: …" on stderr.
void warn(const std::string& message);

}  // namespace program
