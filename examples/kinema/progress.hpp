// examples/kinema/progress.hpp - where a run is: a bar if stderr is a terminal, a line per step otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace program {

/// Highest resident memory of this process so far, in bytes.
std::uint64_t peak_memory();

/// "1.5 GiB"
std::string bytes_text(double bytes);

/// A stage over all videos of a command.
struct StageTotal {
  std::string name;
  double seconds = 0;
  std::int64_t steps = 0;  ///< that were done; 0: not counted
  double flops = 0;        ///< 0: not counted
};

/// Reports stages and their steps on stderr, with seconds per step, time left and peak memory.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `flops`: floating-point operations so far; asked where stages begin and end.
  void count_work(std::function<double()> flops) { flops_ = std::move(flops); }
  /// Begins a stage of `steps` steps (0: unknown or one).
  void stage(const std::string& name, std::int64_t steps = 0);
  void step(std::int64_t done);
  /// A line of its own, such as which video comes now.
  void say(const std::string& text);
  /// Ends the last stage and prints the table of stage times.
  void finish();
  /// Makes room for other lines on the terminal.
  void clear_bar();
  /// Stages that have ended, and the time since the beginning.
  const std::vector<StageTotal>& stages() const { return totals_; }
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  void end_stage();

  bool quiet_, terminal_;
  bool bar_shown_ = false;
  std::string name_;
  std::int64_t steps_ = 0, done_ = 0;
  Clock::time_point started_, began_;
  std::function<double()> flops_ = [] { return 0.0; };
  double flops_before_ = 0;
  std::vector<StageTotal> totals_;
};

}  // namespace program
