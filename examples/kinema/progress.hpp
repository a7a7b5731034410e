// examples/kinema/progress.hpp - where a run is: a bar if stderr is a terminal, a line per step otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace program {

/// Highest resident memory of this process so far, in bytes.
std::uint64_t peak_memory();

/// "1.5 GiB"
std::string bytes_text(double bytes);

/// Reports stages and their steps on stderr, with seconds per step, time left and peak memory.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Begins a stage of `steps` steps (0: unknown or one).
  void stage(const std::string& name, std::int64_t steps = 0);
  void step(std::int64_t done);
  /// A line of its own, such as which video comes now.
  void say(const std::string& text);
  /// Ends the last stage and prints the table of stage times.
  void finish();
  /// Makes room for other lines on the terminal.
  void clear_bar();

 private:
  using Clock = std::chrono::steady_clock;
  void end_stage();

  bool quiet_, terminal_;
  bool bar_shown_ = false;
  std::string name_;
  std::int64_t steps_ = 0;
  Clock::time_point started_, began_;
  std::vector<std::pair<std::string, double>> times_;
};

}  // namespace program
