// kinema/kernel/cpu/detail/frames.hpp - loops over the frames of blocked activations, and where upsampled frames come from.
#pragma once

#include <kinema/core/parallel.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// Calls f(b, k, t) for every frame of every channel block, in parallel.
template <class F>
void for_each_frame(int threads, std::int64_t B, std::int64_t K, std::int64_t T, const F& f) {
  parallel_for(B * K * T, threads, [&](std::int64_t item) { f(item / (T * K), item / T % K, item % T); });
}

/// Source frame of a nearest upsampling in time by a whole factor; with `first`, frame 0 stands alone.
inline std::int64_t nearest_frame(std::int64_t t, std::int64_t T, std::int64_t sources, std::int64_t first) {
  if (t < first) return t;
  return first + (t - first) * (sources - first) / (T - first);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
