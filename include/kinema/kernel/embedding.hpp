// kinema/kernel/embedding.hpp - contracts of look-up tables: token rows, time-step sinusoids, relative position bias.
#pragma once

#include <kinema/kernel/launch.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI::kernel {

/// y[i] = table[ids[i]], rounded once if the dtypes differ.
struct Embedding {
  static constexpr std::string_view name = "embedding";
  Ref ids;    ///< [N] i64, contiguous, each in [0, V)
  Ref table;  ///< [V, C] floating, last axis of stride 1
  Ref y;      ///< [N, C] floating, contiguous, written
  double flops() const { return 0.0; }
  double bytes() const {
    const double n = static_cast<double>(y.shape.numel());
    return 8.0 * static_cast<double>(ids.shape.numel()) + n * static_cast<double>(size_of(table.dtype) + size_of(y.dtype));
  }
};
KINEMA_KERNEL void run(CpuContext&, const Embedding&);  // kernel/cpu/embedding.hpp

/// y[b] = [sin(t_b f_k), cos(t_b f_k)], f_k = exp(-ln(10000) k / (half - shift)), half = W / 2, k < half; a last odd
/// column is 0. Exponent, frequency and angle are each rounded to f32, as in the reference: at t = 999 a frequency off
/// by one last place already moves the sine by 6e-5.
struct TimestepEmbedding {
  static constexpr std::string_view name = "timestep_embedding";
  Ref t;  ///< [B] i64, f32 or f64, contiguous
  Ref y;  ///< [B, W] f32, contiguous, written
  bool cosine_first;
  double frequency_shift;
  double flops() const { return 4.0 * static_cast<double>(y.shape.numel()); }
  double bytes() const { return 4.0 * static_cast<double>(y.shape.numel()); }
};
KINEMA_KERNEL void run(CpuContext&, const TimestepEmbedding&);

/// y[h, q, k] = table[bucket(k - q), h]: near distances have a bucket each, far ones share logarithmically wider buckets.
struct RelativePositionBias {
  static constexpr std::string_view name = "relative_position_bias";
  Ref table;  ///< [buckets, H] floating, any strides
  Ref y;      ///< [H, S, S] f32 (f64 for an f64 table), contiguous, written
  std::int64_t max_distance;  ///< above buckets / 4; from here on all distances share the last bucket
  double flops() const { return 0.0; }
  double bytes() const { return static_cast<double>(y.shape.numel()) * static_cast<double>(size_of(y.dtype)); }
};
KINEMA_KERNEL void run(CpuContext&, const RelativePositionBias&);

}  // namespace kinema::inline KINEMA_ABI::kernel
