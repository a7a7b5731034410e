// kinema/kernel/cpu/detail/rows.hpp - how pointwise kernels cut their work, and rows that are modulated in runs.
#pragma once

#include <kinema/tensor/view.hpp>

#include <algorithm>

namespace kinema::inline KINEMA_ABI::kernel::cpu {

inline constexpr std::int64_t pointwise_grain = 1 << 14;  ///< elements per item: a few microseconds, and a multiple of every SIMD width

/// Calls f(row, group) for rows [begin, end), which may lie in several runs.
template <class F>
void for_rows_in_runs(const View<const std::int64_t, 2>& runs, std::int64_t begin, std::int64_t end, const F& f) {
  std::int64_t row = begin;
  for (std::int64_t r = 0; r < runs.size[0] && row < end; ++r)
    for (; row < std::min(runs(r, 0), end); ++row) f(row, runs(r, 1));
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cpu
