// kinema/kernel/cpu/embedding.hpp - look-up tables on the CPU: copies of rows, and two small formulas.
#pragma once

#include <kinema/kernel/cpu/detail/simd.hpp>
#include <kinema/kernel/embedding.hpp>

#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

namespace kinema::inline KINEMA_ABI::kernel {

namespace cpu {

template <class T, class Y>
void copy_row(const T* from, Y* to, std::int64_t n) {
  if constexpr (std::is_same_v<T, Y>) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
  } else if constexpr (std::is_same_v<compute_t<T>, compute_t<Y>>) {
    simd::transform<Y>(n, to, [](const auto& v) { return v; }, from);
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<Y>(static_cast<compute_t<Y>>(from[i]));
  }
}

template <class T, class Y>
void embedding(View<const std::int64_t, 1> ids, View<const T, 2> table, View<Y, 2> y, int threads) {
  constexpr std::int64_t rows_per_item = 16;
  parallel_ranges(ids.size[0], rows_per_item, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      copy_row(table.data + ids(i) * table.stride[0], y.data + i * y.stride[0], table.size[1]);
  });
}

template <class T>
void timestep_embedding(View<const T, 1> t, View<float, 2> y, bool cosine_first, double frequency_shift, int threads) {
  const std::int64_t width = y.size[1], half = width / 2;
  constexpr double log_of_period = 9.210340371976184;  // ln 10000
  std::vector<float> frequency(static_cast<std::size_t>(half));
  const float per_step = -static_cast<float>(log_of_period), steps = static_cast<float>(static_cast<double>(half) - frequency_shift);
  for (std::int64_t k = 0; k < half; ++k) {
    const float exponent = per_step * static_cast<float>(k) / steps;
    frequency[static_cast<std::size_t>(k)] = static_cast<float>(std::exp(static_cast<double>(exponent)));
  }
  parallel_for(t.size[0], threads, [&](std::int64_t b) {
    float* row = y.data + b * y.stride[0];
    float* sines = row + (cosine_first ? half : 0);
    float* cosines = row + (cosine_first ? 0 : half);
    const float at = static_cast<float>(t(b));
    for (std::int64_t k = 0; k < half; ++k) {
      // The angle is the product rounded to f32; its sine and cosine are taken in f64, so that they add no error.
      const double angle = static_cast<double>(at * frequency[static_cast<std::size_t>(k)]);
      sines[k] = static_cast<float>(std::sin(angle));
      cosines[k] = static_cast<float>(std::cos(angle));
    }
    if (width % 2 == 1) row[width - 1] = 0.0f;
  });
}

/// Bucket of key - query = r, both directions. Source: transformers modeling_t5.py, _relative_position_bucket.
inline std::int64_t relative_position_bucket(std::int64_t r, std::int64_t buckets, std::int64_t max_distance) {
  const std::int64_t half = buckets / 2, exact = half / 2, first = r > 0 ? half : 0, n = r < 0 ? -r : r;
  if (n < exact) return first + n;
  // In f32 and in this order: where the quotient is close to an integer the rounding decides.
  const float log_span = static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const float place = std::log(static_cast<float>(n) / static_cast<float>(exact)) / log_span * static_cast<float>(half - exact);
  const float last = static_cast<float>(half - 1 - exact);
  return first + exact + static_cast<std::int64_t>(place < last ? place : last);
}

template <class T, class Y>
void relative_position_bias(View<const T, 2> table, View<Y, 3> y, std::int64_t max_distance, int threads) {
  const std::int64_t heads = y.size[0], s = y.size[1], buckets = table.size[0];
  if (s == 0) return;
  std::vector<std::int64_t> bucket(static_cast<std::size_t>(2 * s - 1));  // of k - q = -(s - 1) … s - 1
  for (std::int64_t r = 1 - s; r < s; ++r)
    bucket[static_cast<std::size_t>(r + s - 1)] = relative_position_bucket(r, buckets, max_distance);
  parallel_for(heads, threads, [&](std::int64_t h) {
    std::vector<Y> by_distance(bucket.size());
    for (std::size_t i = 0; i < bucket.size(); ++i) by_distance[i] = static_cast<Y>(table(bucket[i], h));
    for (std::int64_t q = 0; q < s; ++q)  // row q is a window that slides by one
      std::memcpy(y.data + (h * s + q) * s, by_distance.data() + (s - 1 - q), static_cast<std::size_t>(s) * sizeof(Y));
  });
}

}  // namespace cpu

KINEMA_KERNEL void run(CpuContext& ctx, const Embedding& op) {
  dispatch_floating(op.table.dtype, op.name, [&]<class T>(Type<T>) {
    dispatch_floating(op.y.dtype, op.name, [&]<class Y>(Type<Y>) {
      cpu::embedding<T, Y>(op.ids.view<const std::int64_t, 1>(), op.table.view<const T, 2>(), op.y.view<Y, 2>(), ctx.threads);
    });
  });
}

KINEMA_KERNEL void run(CpuContext& ctx, const TimestepEmbedding& op) {
  const auto with = [&]<class T>(Type<T>) {
    cpu::timestep_embedding<T>(op.t.view<const T, 1>(), op.y.view<float, 2>(), op.cosine_first, op.frequency_shift, ctx.threads);
  };
  if (op.t.dtype == DType::i64) with(Type<std::int64_t>{});
  else if (op.t.dtype == DType::f32) with(Type<float>{});
  else with(Type<double>{});
}

KINEMA_KERNEL void run(CpuContext& ctx, const RelativePositionBias& op) {
  dispatch_floating(op.table.dtype, op.name, [&]<class T>(Type<T>) {
    using Y = compute_t<T>;
    cpu::relative_position_bias<T, Y>(op.table.view<const T, 2>(), op.y.view<Y, 3>(), op.max_distance, ctx.threads);
  });
}

}  // namespace kinema::inline KINEMA_ABI::kernel
