// tests/program/bad_input/cases_machine.cpp - closed and full streams, limits of memory and files, poor environments.
#include "bytes.hpp"
#include "case.hpp"

#include <sys/resource.h>

namespace bad_input {

void add_machine(Cases& cases) {
  const auto with = [&](const std::string& name, std::vector<int> codes, const Words& words, const Words& arguments, const Surroundings& around, bool may_write = false) {
    cases.push_back({name, std::move(codes), words, arguments, {}, around});
    cases.back().may_write = may_write;
  };
  const auto environment = [](std::vector<std::pair<std::string, std::string>> e) {
    Surroundings s;
    s.empty_environment = true;
    s.environment = std::move(e);
    return s;
  };
  const auto limited = [](int what, unsigned long value) {
    Surroundings s;
    s.limits = {{what, value}};
    return s;
  };
  Surroundings closed, full, no_input;
  closed.standard_output = Output::closed;
  full.standard_output = Output::full;
  no_input.closed_input = true;

  for (const Words& command : std::vector<Words>{tokenize(), {"--help"}, {"--version"}, {"inspect", "model"}, {"plan", "--model", "model"}, {"generate", "--help"}, {"metadata", "made/v.npy.json"}}) {
    with("stdout closed: " + command[0] + (command.size() > 1 ? " " + command[1] : ""), {1, 3}, {"stdout"}, command, closed);
    with("stdout full: " + command[0] + (command.size() > 1 ? " " + command[1] : ""), {1, 3}, {"stdout"}, command, full);
  }
  with("stdin closed", {0}, {}, tokenize(), no_input);
  with("an empty environment", {0}, {"v.npy"}, generate({"--output", "v.npy"}), environment({}), true);
  with("TMPDIR missing", {0}, {"v.mp4"}, generate({"--output", "v.mp4"}), environment({{"TMPDIR", "/nowhere/at/all"}}), true);
  with("TMPDIR is a file", {0}, {"v.npy"}, generate({"--output", "v.npy"}), environment({{"TMPDIR", "/etc/passwd"}}), true);
  with("HOME missing", {0}, {"v.npy"}, generate({"--output", "v.npy"}), environment({{"HOME", "/nowhere"}}), true);
  with("OMP_NUM_THREADS is a word", {0}, {"v.npy"}, generate({"--output", "v.npy"}), environment({{"OMP_NUM_THREADS", "x"}}), true);
  with("an unknown locale", {0}, {"v.npy"}, generate({"--output", "v.npy"}), environment({{"LC_ALL", "xx_XX.UTF-8"}}), true);
  with("the C locale and unicode", {0}, {"漢.npy"}, generate({"--output", "漢.npy"}), environment({{"LC_ALL", "C"}}), true);
  {
    Surroundings comma = environment({{"LC_ALL", "de_DE.UTF-8"}});
    comma.needs_locale = true;
    with("a comma locale reads points", {0}, {"v.npy"}, generate({"--output", "v.npy", "--cfg-scale", "1.5"}), comma, true);
    with("a comma locale reads no commas", {2}, {"--cfg-scale", "1,5"}, generate({"--output", "v.npy", "--cfg-scale", "1,5"}), comma);
  }

  constexpr unsigned long mib = 1ul << 20;
  for (const unsigned long size : {320ul, 384ul, 512ul})
    with("address space of " + std::to_string(size) + " MiB for a large clip", {4}, {"memory"}, generate({"--output", "v.npy", "--num-frames", "49", "--height", "512", "--width", "512"}), limited(RLIMIT_AS, size * mib));
  with("address space of 2 GiB", {0}, {"v.npy"}, generate({"--output", "v.npy"}), limited(RLIMIT_AS, 2048 * mib), true);
  for (const Words& command : std::vector<Words>{generate({"--output", "v.npy"}), generate({"--output", "v.mp4"}), generate({"--output", "v.avi"}), generate({"--output", "v_%d.png"}), generate({"--output", "v.gif"}), generate({"--output", "v.safetensors"})}) {
    with("file size of 1000 bytes: " + command[command.size() - 1], {1, 3}, {"File too large"}, command, limited(RLIMIT_FSIZE, 1000));
    cases.back().keeps = {"v.latents.safetensors", "v_%d.latents.safetensors"};
  }
  with("file size of 1000 bytes: encode", {1, 3}, {"l.safetensors", "File too large"}, {"encode", "--model", "model", "--input", "made/v.mp4", "--output", "l.safetensors"}, limited(RLIMIT_FSIZE, 1000));
  with("file size of 1000 bytes: encode-text", {1, 3}, {"e.safetensors", "File too large"}, {"encode-text", "--model", "model", "--prompt", "a", "--output", "e.safetensors"}, limited(RLIMIT_FSIZE, 1000));
  with("file size of 1000 bytes: init", {1, 3}, {"File too large"}, {"init", "--preset", "tiny", "--output", "m"}, limited(RLIMIT_FSIZE, 1000));
  with("few files may be opened", {1, 3}, {"Too many open files"}, generate({"--output", "v.npy"}), limited(RLIMIT_NOFILE, 5));
  Surroundings disk;
  disk.needs_small_disk = true;
  for (const char* output : {"disk/v.npy", "disk/v_%d.png", "disk/v.safetensors", "disk/v.avi"}) {
    with(std::string("a full disk: ") + output, {1, 3}, {"No space left"}, generate({"--output", output, "--num-frames", "17"}), disk);
    cases.back().keeps = {"disk/v.latents.safetensors", "disk/v_%d.latents.safetensors"};
  }

  const auto ram = [&](const std::string& size, std::vector<int> codes, const Words& words, const Words& more = {}) {
    Words command = generate({"--output", "v.npy", "--max-ram", size});
    command.insert(command.end(), more.begin(), more.end());
    with("--max-ram " + size, std::move(codes), words, command, {}, true);
    if (codes != std::vector<int>{0}) cases.back().may_write = cases.back().accepted();
  };
  ram("1KiB", {4}, {"memory"});
  ram("1MiB", {4}, {"memory"});
  ram("64GiB", {0}, {});
  ram("1KiB", {4}, {"memory"}, {"--dry-run"});
  with("plan --max-ram 1KiB", {4}, {"memory"}, {"plan", "--model", "model", "--max-ram", "1KiB"}, {});
  with("--dry-run writes nothing", {0}, {"denois"}, generate({"--output", "v.npy", "--dry-run"}), {});
  with("--dry-run of a large clip", {4}, {"memory"}, generate({"--output", "v.npy", "--dry-run", "--num-frames", "1025", "--height", "4096", "--width", "4096", "--max-ram", "4GiB"}), {});
}

}  // namespace bad_input
