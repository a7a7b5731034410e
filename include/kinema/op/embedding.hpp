// kinema/op/embedding.hpp - look-up tables: token rows, time-step sinusoids, relative position bias.
#pragma once

#include <kinema/kernel/embedding.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/expect.hpp>
#include <kinema/tensor/slice.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/embedding.hpp>
#endif

#include <optional>

namespace kinema::inline KINEMA_ABI::op {

/// Rows of a table.
///   ids [...] i64, table [V, C] floating;  returns [..., C] in the table's dtype, or in `dtype`, rounded once
/// Throws ShapeError or DTypeError if the tensors do not fit, ArgumentError for an id outside [0, V).
inline Tensor<> embedding(const Tensor<>& ids, const Tensor<>& table, std::optional<DType> dtype = std::nullopt) {
  const Expect expect{"embedding"};
  expect("table", table).rank(2).floating();
  expect("ids", ids).dtype(DType::i64).on(table.device()).contiguous();
  expect.that(table.size(1) <= 1 || table.strides()[1] == 1, "table must have stride 1 on its last axis, got strides ", table.strides());
  const DType out = dtype.value_or(table.dtype());
  expect.that(is_floating(out), "the result must be floating, got ", out);
  const std::int64_t n = ids.numel(), rows = table.size(0);
  if (ids.device().is_cpu()) {
    const std::int64_t* id = ids.data<const std::int64_t>();
    for (std::int64_t i = 0; i < n; ++i)
      expect.that(id[i] >= 0 && id[i] < rows, "ids must be 0 to ", rows - 1, ", got ", id[i], " at index ", i);
  }
  Shape shape = ids.shape();
  shape.push_back(table.size(1));

  Tensor<> y = empty(shape, out, table.device());
  launch(kernel::Embedding{.ids = reshape(ids, {n}), .table = table, .y = reshape(y, {n, table.size(1)})}, table.device());
  return y;
}

/// Sinusoids of time steps: width/2 frequencies from 1 down to 1/10000.
///   t [B] i64, f32 or f64;  returns [B, width] f32: cosines, then sines (flip_sin_to_cos), or the other way round
/// Evaluated in f32 as the reference does. Throws ShapeError, DTypeError, or ArgumentError for a width below 2.
/// Source: diffusers embeddings.py, get_timestep_embedding.
inline Tensor<> timestep_embedding(const Tensor<>& t, std::int64_t width, bool flip_sin_to_cos = true, double freq_shift = 0.0) {
  const Expect expect{"timestep_embedding"};
  expect("t", t).rank(1).contiguous();
  if (t.dtype() != DType::i64 && t.dtype() != DType::f32 && t.dtype() != DType::f64)
    throw DTypeError(cat("timestep_embedding: t must be i64, f32 or f64, got ", t));
  expect.that(width >= 2, "width must be 2 or more, got ", width);
  expect.that(freq_shift < static_cast<double>(width / 2), "freq_shift must be below width / 2 = ", width / 2, ", got ", freq_shift);

  Tensor<> y = empty({t.size(0), width}, DType::f32, t.device());
  launch(kernel::TimestepEmbedding{.t = t, .y = y, .cosine_first = flip_sin_to_cos, .frequency_shift = freq_shift}, t.device());
  return y;
}

/// T5's bias of attention scores, by the distance from query to key, for both directions.
///   table [num_buckets, H] floating;  returns [H, S, S] f32 (f64 for an f64 table), axes head, query, key
/// Distances below num_buckets/4 have a bucket each, longer ones share logarithmic buckets up to max_distance.
/// Throws ShapeError, or ArgumentError for an odd number of buckets or one below 4, or a max_distance of num_buckets/4 or less.
/// Source: transformers modeling_t5.py, T5Attention.compute_bias.
inline Tensor<> relative_position_bias(const Tensor<>& table, std::int64_t s, std::int64_t num_buckets, std::int64_t max_distance) {
  const Expect expect{"relative_position_bias"};
  expect("table", table).rank(2).floating();
  expect("table", table).size(0, num_buckets);
  expect.that(s >= 0, "the sequence length must not be negative, got ", s);
  expect.that(num_buckets >= 4 && num_buckets % 2 == 0, "num_buckets must be even and 4 or more, got ", num_buckets);
  expect.that(max_distance > num_buckets / 4, "max_distance must be above num_buckets / 4 = ", num_buckets / 4, ", got ", max_distance);

  Tensor<> y = empty({table.size(1), s, s}, table.dtype() == DType::f64 ? DType::f64 : DType::f32, table.device());
  launch(kernel::RelativePositionBias{.table = table, .y = y, .max_distance = max_distance}, table.device());
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
