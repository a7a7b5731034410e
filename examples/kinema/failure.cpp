// examples/kinema/failure.cpp - from exceptions to exit codes.
#include "failure.hpp"

#include <kinema/core/error.hpp>

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

namespace program {
namespace {

/// Messages may quote files and arguments: what could move the cursor or end the line early is escaped, and newlines
/// that the message itself has become continuation lines.
std::string presentable(std::string_view text) {
  constexpr std::size_t limit = 7800;  // of 8,000 characters, with room for "error: " and the cut mark
  std::string out;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += kinema::printable(text.substr(begin, end - begin), limit);
    if (end >= text.size() || out.size() > limit) break;
    out += "\n  ";
    begin = text.find_first_not_of(' ', end + 1);
    if (begin == std::string_view::npos) break;
  }
  if (out.size() > limit) out = out.substr(0, limit) + "…";
  return out;
}

}  // namespace

Outcome current_failure() {
  try {
    throw;
  } catch (const Failure& e) {
    return {e.code, e.what()};
  } catch (const kinema::ArgumentError& e) {
    return {ExitCode::usage, e.what()};
  } catch (const kinema::ConfigError& e) {
    return {ExitCode::file, e.what()};
  } catch (const kinema::CheckpointError& e) {
    return {ExitCode::file, e.what()};
  } catch (const kinema::IoError& e) {
    return {ExitCode::file, e.what()};
  } catch (const kinema::MemoryError& e) {
    return {ExitCode::memory, e.what()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::memory, "memory: the system refused an allocation"};
  } catch (const kinema::DeviceError& e) {
    return {ExitCode::device, e.what()};
  } catch (const kinema::NonFiniteError& e) {
    return {ExitCode::non_finite, e.what()};
  } catch (const kinema::Interrupted& e) {
    return {ExitCode::interrupted, e.what()};
  } catch (const std::exception& e) {
    return {ExitCode::failure, e.what()};
  } catch (...) {
    return {ExitCode::failure, "unknown error"};
  }
}

int guarded(int (*body)(int, char**), int argc, char** argv) {
  try {
    return body(argc, argv);
  } catch (...) {
    const Outcome outcome = current_failure();
    std::fflush(stdout);
    std::fprintf(stderr, "error: %s\n", presentable(outcome.message).c_str());
    return static_cast<int>(outcome.code);
  }
}

void warn(const std::string& message) { std::fprintf(stderr, "warning: %s\n", presentable(message).c_str()); }

}  // namespace program
