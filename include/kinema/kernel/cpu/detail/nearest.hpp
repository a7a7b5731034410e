// kinema/kernel/cpu/detail/nearest.hpp - where a frame of a nearest upsampling comes from.
#pragma once

#include <kinema/core/config.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

/// Source frame of a nearest upsampling in time by a whole factor; with `first`, frame 0 stands alone.
inline std::int64_t nearest_frame(std::int64_t t, std::int64_t T, std::int64_t sources, std::int64_t first) {
  if (t < first) return t;
  return first + (t - first) * (sources - first) / (T - first);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
