// examples/kinema/command_line.hpp - CLI11 behind a narrow door: every option is a text, read strictly afterwards.
#pragma once

#include "arguments.hpp"
#include "commands.hpp"

#include <kinema/runtime/context.hpp>

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace program {

/// The parser, and what the parsed command wants to run.
struct CommandLine {
  CLI::App app{"kinema: text to video with CogVideoX, in native C++"};
  std::function<void()> run;
  std::string program = "kinema";  ///< as it was called

  /// A subcommand whose body is called after all of the command line was read.
  CLI::App* command(const std::string& name, const std::string& description, std::function<void()> body) {
    CLI::App* sub = app.add_subcommand(name, description);
    sub->callback([this, body = std::move(body)] { run = body; });
    return sub;
  }
};

/// Command-line values are marked in front, so that CLI11 neither drops an empty one nor mistakes it for an option.
inline constexpr char value_mark = '\x01';

inline std::string value_of(const std::string& v) { return !v.empty() && v.front() == value_mark ? v.substr(1) : v; }

/// An option with one value; `names` as CLI11 writes them ("--seed,-s").
inline CLI::Option* option(CLI::App* command, const std::string& names, Text& into, const std::string& description) {
  return command->add_option_function<std::string>(
      names, [&into](const std::string& v) { into = value_of(v); }, description);
}

inline std::string required(const Text& value, const char* flag) {
  if (!value) usage_error(flag, ": is required");
  return *value;
}

/// --model, --threads, --device, --dtype, --quiet.
struct Common {
  Text model, threads, device, dtype;
  bool quiet = false;

  void add_to(CLI::App* command, bool computes = true) {
    option(command, "--model,-m,--model-path", model, "model folder in the published diffusers layout");
    option(command, "--threads,-t", threads, "threads of the CPU backend (default: all processors)");
    if (computes) {
      option(command, "--device", device, "cpu, cuda or cuda:N (default: cpu)");
      option(command, "--dtype,--type", dtype, "auto, f32, bf16 or f16 (default: auto, what the checkpoint stores)");
    }
    command->add_flag("--quiet,-q", quiet, "no progress on stderr");
  }
  std::string model_folder() const { return required(model, "--model"); }
  int thread_count() const;
  kinema::Device compute_device() const;
  /// No value: what the checkpoint stores.
  std::optional<kinema::DType> compute_dtype() const;
};

/// --max-ram, --stream-weights, --weights and --dry-run.
struct MemoryOptions {
  Text max_ram, stream, weights;
  bool dry_run = false;
  void add_to(CLI::App* command, bool streams = true);
  /// Bytes, if --max-ram was given.
  std::optional<double> limit() const;
  /// Whether --weights is int8; no value: not said.
  std::optional<bool> quantized() const;
};

/// --vae-tiling and --vae-tile-size.
struct TilingOptions {
  Text tiling, tile_size;
  void add_to(CLI::App* command);
};

}  // namespace program
