// examples/kinema/command_line.cpp - from argv to a command, and the options that several commands share.
#include "command_line.hpp"

#include "program.hpp"

#include <kinema/runtime/devices.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <set>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace program {

int Common::thread_count() const {
  return threads ? static_cast<int>(integer("--threads", *threads, 1, 1024)) : kinema::default_threads();
}

kinema::Device Common::compute_device() const {
  const std::string word = device.value_or("cpu");
  kinema::Device d = kinema::Device::cpu();
  if (word.rfind("cuda", 0) == 0) {
    d = kinema::Device::cuda(0);
    if (word.size() > 4) {
      const std::optional<std::int64_t> index = word[4] == ':' ? whole_number(std::string_view(word).substr(5)) : std::nullopt;
      if (!index || *index < 0 || *index > 1023) bad_value("--device", word, "one of cpu, cuda, cuda:N with N from 0 to 1023");
      d.index = static_cast<int>(*index);
    }
  } else if (word != "cpu") {
    bad_value("--device", word, "one of cpu, cuda, cuda:N");
  }
  kinema::require_device(d);
  if (!d.is_cpu())
    throw Failure(ExitCode::device, kinema::cat("--device ", word, ": this version runs whole pipelines on the CPU only; of the CUDA backend the element-wise, norm and matrix kernels exist"));
  return d;
}

std::optional<kinema::DType> Common::compute_dtype() const {
  using kinema::DType;
  return choice<std::optional<DType>>("--dtype", dtype.value_or("auto"),
                                      {{"auto", std::nullopt}, {"f32", DType::f32}, {"bf16", DType::bf16}, {"f16", DType::f16},
                                       {"float32", DType::f32}, {"bfloat16", DType::bf16}, {"float16", DType::f16}});
}

void MemoryOptions::add_to(CLI::App* command, bool streams) {
  option(command, "--max-ram", max_ram, "memory that the run may take, for example 4GiB or 600MiB: kept, or refused before any work");
  if (streams) option(command, "--stream-weights", stream, "auto, on or off: read weights block by block and keep none (default: auto, only if --max-ram needs it)");
  if (streams) option(command, "--weights", weights, "stored or int8: int8 keeps the linear layers of text encoder and transformer in half the memory of 16 bits, with small errors (default: stored)");
  command->add_flag("--dry-run", dry_run, "check everything, print the plan of memory and work, and write nothing");
}

std::optional<bool> MemoryOptions::quantized() const {
  if (!weights) return std::nullopt;
  return choice<bool>("--weights", *weights, {{"stored", false}, {"int8", true}});
}

std::optional<double> MemoryOptions::limit() const {
  if (!max_ram) return std::nullopt;
  static constexpr std::pair<std::string_view, double> units[] = {{"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}};
  for (const auto& [unit, bytes] : units) {
    const std::string_view text = *max_ram;
    if (text.size() <= unit.size() || text.substr(text.size() - unit.size()) != unit) continue;
    double n = 0;
    const std::string_view digits = text.substr(0, text.size() - unit.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n, std::chars_format::fixed);
    if (error == std::errc() && end == digits.data() + digits.size() && std::isfinite(n) && n > 0 && digits.front() != '-' && n * bytes < 1e18) return n * bytes;
  }
  bad_value("--max-ram", *max_ram, "a positive number with the unit KiB, MiB or GiB, such as 4GiB");
}

void TilingOptions::add_to(CLI::App* command) {
  option(command, "--vae-tiling,--enable-tiling", tiling,
         "auto, on or off: run the VAE in overlapping tiles (alone: on; default: auto, only if memory is short)")
      ->expected(0, 1)
      ->default_str(std::string(1, value_mark) + "on");
  option(command, "--vae-tile-size", tile_size, "tile in pixels, N or HxW (default: half the VAE's sample size)");
}

namespace {

/// The long names of all options.
std::set<std::string> flag_names(const CLI::App& app) {
  std::set<std::string> names;
  for (const CLI::App* command : app.get_subcommands({}))
    for (const CLI::Option* o : command->get_options())
      for (const std::string& name : o->get_lnames()) names.insert("--" + name);
  return names;
}

/// "--num_frames" is "--num-frames": both spellings of a known flag are the same.
std::string hyphenated(const std::string& word, const std::set<std::string>& known) {
  const std::size_t equals = word.find('=');
  std::string name = word.substr(0, equals);
  if (known.count(name) != 0) return word;
  std::replace(name.begin(), name.end(), '_', '-');
  return known.count(name) == 0 ? word : equals == std::string::npos ? name : name + word.substr(equals);
}

/// Joins "--prompt", "X" to "--prompt=X" and marks values, so that a text is never taken for an option.
std::vector<std::string> marked(int argc, char** argv, const std::set<std::string>& known) {
  static const std::set<std::string_view> texts = {"--prompt", "-p", "--negative-prompt", "-n"};
  std::vector<std::string> out;
  for (int i = 1; i < argc; ++i) {
    std::string word = std::string_view(argv[i]).starts_with("--") ? hyphenated(argv[i], known) : argv[i];
    const std::size_t equals = word.find('=');
    if (texts.count(word) != 0 && i + 1 < argc) {
      out.push_back(word.size() == 2 ? (word == "-p" ? "--prompt" : "--negative-prompt") : word);
      out.back() += std::string("=") + value_mark + argv[++i];
    } else if (word.rfind("--", 0) == 0 && equals != std::string::npos) {
      out.push_back(word.substr(0, equals + 1) + value_mark + word.substr(equals + 1));
    } else if (i > 1 && (word.empty() || word.front() != '-')) {
      out.push_back(value_mark + word);
    } else {
      out.push_back(std::move(word));
    }
  }
  return out;
}

/// CLI11 quotes arguments; our marks are not theirs.
std::string unmarked(std::string text) {
  std::erase(text, value_mark);
  return text;
}

/// Files that are opened later must not land on a standard stream that the caller closed; what is then printed there
/// must fail, not vanish.
void guard_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) == -1) [[maybe_unused]] const int opened = ::open(fd == 1 ? "/dev/full" : "/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

/// Weights are memory-mapped: if another process shortens a file, touching it raises this signal.
void on_bus_error(int) {
  constexpr char message[] = "error: a model file was cut short by another process while it was being read\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message, sizeof message - 1);
  ::_exit(static_cast<int>(ExitCode::file));
}

/// A result that cannot be delivered is a failed run, not a silent one.
void flush_results() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw Failure(ExitCode::failure, "stdout: could not be written (closed or full)");
}

}  // namespace

int run_program(int argc, char** argv) {
  return guarded(
      [](int count, char** values) {
        guard_standard_streams();
        std::signal(SIGPIPE, SIG_IGN);
        std::signal(SIGBUS, on_bus_error);
        std::signal(SIGXFSZ, SIG_IGN);
        CommandLine line;
        if (count > 0) line.program = values[0];
        line.app.require_subcommand(0, 1);
        line.app.fallthrough(false);
        bool version = false, devices = false;
        line.app.add_flag("--version", version, "version and how this program was built");
        line.app.add_flag("--list-devices", devices, "devices that this program can use");
        add_generate(line);
        add_encode_text(line);
        add_tokenize(line);
        add_encode(line);
        add_decode(line);
        add_inspect(line);
        add_plan(line);
        add_verify(line);
        add_init(line);
        add_metadata(line);
        std::vector<std::string> words = marked(count, values, flag_names(line.app));
        std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
        try {
          line.app.parse(words);
        } catch (const CLI::CallForHelp&) {
          const auto chosen = line.app.get_subcommands();
          std::fputs((chosen.empty() ? line.app.help() : chosen.front()->help()).c_str(), stdout);
          flush_results();
          return 0;
        } catch (const CLI::ParseError& e) {
          throw Failure(ExitCode::usage, unmarked(e.what()) + " (see kinema --help)");
        }
        if (version) std::fputs(version_text().c_str(), stdout);
        else if (devices) std::fputs(devices_text().c_str(), stdout);
        else if (line.run) line.run();
        else throw Failure(ExitCode::usage, "a command is required: generate, encode-text, tokenize, encode, decode, inspect, metadata, plan, verify or init (see kinema --help)");
        flush_results();
        return 0;
      },
      argc, argv);
}

}  // namespace program
