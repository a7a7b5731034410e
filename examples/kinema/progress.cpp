// examples/kinema/progress.cpp - bars and lines on stderr.
#include "progress.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace program {
namespace {

double in_seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::string clock_text(double s) {
  const auto total = static_cast<long long>(s + 0.5);
  char text[32];
  if (total >= 3600) std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
  else std::snprintf(text, sizeof text, "%02lld:%02lld", total / 60, total % 60);
  return text;
}

}  // namespace

std::uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::string bytes_text(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1), started_(Clock::now()) {}

Progress::~Progress() { clear_bar(); }

void Progress::clear_bar() {
  if (bar_shown_) std::fprintf(stderr, "\r\033[K");
  bar_shown_ = false;
}

void Progress::stage(const std::string& name, std::int64_t steps) {
  end_stage();
  name_ = name;
  steps_ = steps;
  done_ = 0;
  flops_before_ = flops_();
  began_ = Clock::now();
  if (!quiet_ && !terminal_) std::fprintf(stderr, "%s\n", name_.c_str());
  if (!quiet_ && terminal_) {
    std::fprintf(stderr, "\r\033[K%s …", name_.c_str());
    bar_shown_ = true;
  }
}

void Progress::step(std::int64_t done) {
  done_ = done;
  if (quiet_ || done <= 0) return;
  const double spent = in_seconds(Clock::now() - began_), each = spent / static_cast<double>(done);
  char text[160];
  const std::string memory = bytes_text(static_cast<double>(peak_memory()));
  if (steps_ > 0) {
    const double left = each * static_cast<double>(std::max<std::int64_t>(steps_ - done, 0));
    std::snprintf(text, sizeof text, "%s %lld/%lld  %.3g s/step  ETA %s  peak %s", name_.c_str(), static_cast<long long>(done),
                  static_cast<long long>(steps_), each, clock_text(left).c_str(), memory.c_str());
  } else {
    std::snprintf(text, sizeof text, "%s %lld  %.3g s/step  peak %s", name_.c_str(), static_cast<long long>(done), each, memory.c_str());
  }
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", text);
    return;
  }
  constexpr int width = 24;
  std::string bar;
  if (steps_ > 0)
    for (int i = 0; i < width; ++i) bar += i < width * done / steps_ ? "█" : "░";
  std::fprintf(stderr, "\r\033[K%s %s", bar.c_str(), text);
  std::fflush(stderr);
  bar_shown_ = true;
}

void Progress::say(const std::string& text) {
  clear_bar();
  if (!quiet_) std::fprintf(stderr, "%s\n", text.c_str());
}

void Progress::end_stage() {
  if (name_.empty()) return;
  // The same stage of the next video counts on.
  auto total = std::find_if(totals_.begin(), totals_.end(), [&](const StageTotal& t) { return t.name == name_; });
  if (total == totals_.end()) total = totals_.insert(totals_.end(), {name_});
  total->seconds += in_seconds(Clock::now() - began_);
  total->steps += done_;
  total->flops += flops_() - flops_before_;
  name_.clear();
}

double Progress::seconds() const { return in_seconds(Clock::now() - started_); }

void Progress::finish() {
  end_stage();
  clear_bar();
  if (quiet_) return;
  for (const StageTotal& t : totals_) std::fprintf(stderr, "%-16s %8.2f s\n", t.name.c_str(), t.seconds);
  std::fprintf(stderr, "%-16s %8.2f s, peak memory %s\n", "total", seconds(), bytes_text(static_cast<double>(peak_memory())).c_str());
}

}  // namespace program
