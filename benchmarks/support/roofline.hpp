// benchmarks/support/roofline.hpp - a row of the suite: time, rates, and the share of what the machine could do just then.
//
// Shared machines change speed while one measures. So a register-only FMA loop runs before and after every sample, or a
// copy loop before and after the row, and `share_of_peak` is the median of the local ratios: it survives neighbours,
// times do not. One thread is judged by its own CPU time, several by the clock on the wall.
#pragma once

#include "support/shapes.hpp"

#include <kinema/runtime/context.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace kinema::benchmarks {

/// What a row does in one call, counted as papers count.
struct Work {
  double flops, bytes;
};

namespace detail {

inline double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
inline clockid_t clock_of(int threads) { return threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC; }

/// Runs body(thread) on all threads at once; the slowest one counts.
template <class Body>
double timed(int threads, const Body& body) {
  std::atomic<int> ready{0};
  std::vector<double> taken(static_cast<std::size_t>(threads));
  const auto run = [&](int i) {
    ++ready;
    while (ready < threads) {}
    const double start = seconds(clock_of(threads));
    body(i);
    taken[static_cast<std::size_t>(i)] = seconds(clock_of(threads)) - start;
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(run, i);
  run(0);
  for (auto& t : others) t.join();
  return *std::max_element(taken.begin(), taken.end());
}

// Twelve independent accumulators in named registers: compilers keep arrays of vectors on the stack.
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#define KINEMA_TWELVE(r)                                                                                          \
  "vfmadd231ps %%" r "14,%%" r "15,%%" r "0\nvfmadd231ps %%" r "14,%%" r "15,%%" r "1\n"                          \
  "vfmadd231ps %%" r "14,%%" r "15,%%" r "2\nvfmadd231ps %%" r "14,%%" r "15,%%" r "3\n"                          \
  "vfmadd231ps %%" r "14,%%" r "15,%%" r "4\nvfmadd231ps %%" r "14,%%" r "15,%%" r "5\n"                          \
  "vfmadd231ps %%" r "14,%%" r "15,%%" r "6\nvfmadd231ps %%" r "14,%%" r "15,%%" r "7\n"                          \
  "vfmadd231ps %%" r "14,%%" r "15,%%" r "8\nvfmadd231ps %%" r "14,%%" r "15,%%" r "9\n"                          \
  "vfmadd231ps %%" r "14,%%" r "15,%%" r "10\nvfmadd231ps %%" r "14,%%" r "15,%%" r "11\n"
#define KINEMA_REGISTERS                                                                                          \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15"
#if defined(__AVX512F__)
inline constexpr int fma_lanes = 16;
inline void fma_loop(long steps) {
  asm volatile("vzeroall" ::: KINEMA_REGISTERS, "xmm12", "xmm13");
  for (long i = 0; i < steps; ++i) asm volatile(KINEMA_TWELVE("zmm")::: KINEMA_REGISTERS);
}
#else
inline constexpr int fma_lanes = 8;
inline void fma_loop(long steps) {
  asm volatile("vzeroall" ::: KINEMA_REGISTERS, "xmm12", "xmm13");
  for (long i = 0; i < steps; ++i) asm volatile(KINEMA_TWELVE("ymm")::: KINEMA_REGISTERS);
}
#endif
#undef KINEMA_TWELVE
#undef KINEMA_REGISTERS
#else
inline constexpr int fma_lanes = 0;  // no such instruction in this build: shares are left out
inline void fma_loop(long) {}
#endif

/// Operations per second of f32 multiply-add from registers, on all threads; 0 if this build has no such instruction.
inline double fma_rate(int threads) {
  if (fma_lanes == 0) return 0;
  constexpr long steps = 2'400'000;  // about 4 ms at 3.5 GHz and two units
  return 2.0 * 12 * fma_lanes * static_cast<double>(steps) * threads / timed(threads, [&](int) { fma_loop(steps); });
}

/// Bytes read and written per second by a copy of 128 MiB per thread, plain or streaming, the best of three.
inline double copy_rate(int threads) {
  constexpr std::size_t n = std::size_t{32} << 20;
  static std::vector<std::vector<float>> buffers;  // kept, so that no page is touched for the first time
  while (buffers.size() < 2 * static_cast<std::size_t>(threads)) buffers.emplace_back(n, 1.0f);
  const auto plain = [](float* to, const float* from) {
    std::copy_n(from, n, to);
    benchmark::ClobberMemory();
  };
  const auto streaming = [&]([[maybe_unused]] float* to, [[maybe_unused]] const float* from) {
#if defined(__SSE2__)
    const auto misaligned = reinterpret_cast<std::uintptr_t>(to) % 16 / sizeof(float);
    const std::size_t first = misaligned == 0 ? 0 : 4 - misaligned;
    for (std::size_t i = first; i + 4 <= n; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
    _mm_sfence();
#else
    plain(to, from);
#endif
  };
  double best = 1e30;
  const auto arrays = [&](int i) { return std::pair(buffers[2 * static_cast<std::size_t>(i)].data(), buffers[2 * static_cast<std::size_t>(i) + 1].data()); };
  for (int repeat = 0; repeat < 3; ++repeat) {
    best = std::min(best, timed(threads, [&](int i) { plain(arrays(i).first, arrays(i).second); }));
    best = std::min(best, timed(threads, [&](int i) { streaming(arrays(i).first, arrays(i).second); }));
  }
  return 2.0 * sizeof(float) * static_cast<double>(n) * threads / best;
}

inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

inline void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }  // OpenMP's waiting threads spin a while

inline void measure(benchmark::State& state, const Work& work, const std::function<std::function<void()>()>& prepare) {
  const int threads = cpu_context().threads;
  const bool by_copy = work.flops < 10 * work.bytes;
  const std::function<void()> call = prepare();
  call();  // pages, packed weights
  double start = seconds(CLOCK_MONOTONIC);
  call();
  constexpr double shortest_sample = 0.04;
  const auto repeats = static_cast<benchmark::IterationCount>(std::clamp(std::ceil(shortest_sample / (seconds(CLOCK_MONOTONIC) - start)), 1.0, 1e6));
  const auto limit = [&] { rest(); return by_copy ? copy_rate(threads) : fma_rate(threads); };

  std::vector<double> wall, own, rates;
  double before = limit();
  const double copy_before = before;
  while (state.KeepRunningBatch(repeats)) {
    start = seconds(CLOCK_MONOTONIC);
    const double own_start = seconds(clock_of(threads));
    for (benchmark::IterationCount i = 0; i < repeats; ++i) call();
    own.push_back((seconds(clock_of(threads)) - own_start) / static_cast<double>(repeats));
    wall.push_back((seconds(CLOCK_MONOTONIC) - start) / static_cast<double>(repeats));
    state.PauseTiming();
    if (!by_copy) {
      const double after = limit();
      rates.push_back((before + after) / 2);
      before = after;
    }
    state.SetIterationTime(0);
    state.ResumeTiming();
  }
  if (by_copy) rates.assign(wall.size(), (copy_before + limit()) / 2);

  const double time = median(wall), amount = by_copy ? work.bytes : work.flops;
  std::vector<double> shares;
  for (std::size_t i = 0; i < own.size(); ++i)
    if (rates[i] > 0) shares.push_back(amount / own[i] / rates[i]);
  state.SetIterationTime(time * static_cast<double>(std::max<benchmark::IterationCount>(state.iterations(), 1)));
  state.counters["flops"] = work.flops / time;
  state.counters["bytes"] = work.bytes / time;
  state.counters["limit"] = median(rates);
  if (!shares.empty()) state.counters["share_of_peak"] = median(shares);
  state.counters["omp_threads"] = threads;
}

}  // namespace detail

/// Registers `name`/cpu. `prepare` makes the inputs and returns the call that is timed; it runs once per measurement.
/// Returns true, so that a file-local constant can do it before main.
inline bool add(const std::string& name, const Work& work, std::function<std::function<void()>()> prepare) {
  benchmark::RegisterBenchmark((name + "/cpu").c_str(), [work, prepare = std::move(prepare)](benchmark::State& state) {
    detail::measure(state, work, prepare);
  })->UseManualTime()->Unit(benchmark::kMillisecond);
  return true;
}

}  // namespace kinema::benchmarks
