// kinema/core/parallel.hpp - the only place where threads of the CPU backend start: OpenMP, or serially without it.
//
// Work is handed out in items whose content depends on the shapes alone, never on the number of threads, and an item
// is computed by one thread. So results have the same bits for any thread count.
#pragma once

#include <kinema/core/config.hpp>

#include <cstdint>

#if KINEMA_WITH_OPENMP
#include <omp.h>
#endif

namespace kinema::inline KINEMA_ABI {

#if KINEMA_WITH_OPENMP
#define KINEMA_DEFAULT_THREADS omp_get_max_threads()
#define KINEMA_THREAD_INDEX omp_get_thread_num()
#else
#define KINEMA_DEFAULT_THREADS 1
#define KINEMA_THREAD_INDEX 0
#endif

/// Threads that a new context uses: OMP_NUM_THREADS or the number
/// of processors.
#if KINEMA_KERNELS_APART
// kernel/cpu/runtime.hpp: the kernel units may have OpenMP where the program's own files have not.
int default_threads();
int thread_index();  ///< of the calling thread inside parallel_for, 0 … threads-1
#else
inline int default_threads() { return KINEMA_DEFAULT_THREADS; }
inline int thread_index() { return KINEMA_THREAD_INDEX; }
#endif

/// Whether the calling thread only rehearses: parallel_for then hands out nothing, while everything around it, such as
/// allocations, happens as in earnest (runtime/dry_run.hpp).
inline bool& rehearsing() {
  static thread_local bool yes = false;
  return yes;
}

/// Calls item(i) for i in [0, n) on up to `threads` threads, handing out items one by one. `item` must not throw.
template <class F>
void parallel_for(std::int64_t n, [[maybe_unused]] int threads, const F& item) {
  if (rehearsing()) return;
#if KINEMA_WITH_OPENMP
  if (threads > 1 && n > 1 && !omp_in_parallel()) {
    const int team = n < threads ? static_cast<int>(n) : threads;
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (std::int64_t i = 0; i < n; ++i) item(i);
    return;
  }
#endif
  for (std::int64_t i = 0; i < n; ++i) item(i);
}

/// Calls range(begin, end) over [0, n) in chunks of `grain` (the last may be shorter): for cheap items.
template <class F>
void parallel_ranges(std::int64_t n, std::int64_t grain, int threads, const F& range) {
  const std::int64_t chunks = (n + grain - 1) / grain;
  parallel_for(chunks, threads, [&](std::int64_t c) {
    const std::int64_t begin = c * grain, end = begin + grain < n ? begin + grain : n;
    range(begin, end);
  });
}

/// While it lives, libraries that start OpenMP teams of their own (oneDNN, Eigen) get one thread from the calling thread.
/// Needed where an item runs outside a team: such a library would split its sums by the number of threads.
class OneThread {
 public:
#if KINEMA_WITH_OPENMP
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
#else
  OneThread() {}
  ~OneThread() {}
#endif
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

#if KINEMA_WITH_OPENMP
 private:
  int before_;
#endif
};

}  // namespace kinema::inline KINEMA_ABI
