// kinema/op/attention.hpp - scaled dot-product attention, exact, never holding an S x S matrix.
#pragma once

#include <kinema/kernel/attention.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/expect.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/attention.hpp>
#endif

#include <algorithm>
#include <cmath>
#include <optional>

namespace kinema::inline KINEMA_ABI::op {
/// What attention() may be given beside q, k and v.
struct AttentionOptions {
  std::optional<double> scale = {};  ///< factor of the scores; 1/sqrt(D) unless given
  Tensor<> bias = {};                ///< [H, Sq, Sk] f32 (or f64 beside f64), added to the scaled scores
  Tensor<> segments_q = {};          ///< [n + 1] i64, ascending from 0 to Sq: attention is block-diagonal
  Tensor<> segments_k = {};          ///< [n + 1] i64, ascending from 0 to Sk
};

namespace detail {
/// Segment boundaries must start at 0, never fall, and end at the length of the sequence. Host tensors are checked here.
inline void expect_segments(const Expect& expect, std::string_view name, const Tensor<>& ends, std::int64_t length, Device device) {
  expect(name, ends).rank(1).dtype(DType::i64).on(device);
  expect.that(ends.size(0) >= 1, name, " must have one element or more, got ", ends);
  if (!device.is_cpu()) return;
  const auto at = ends.view<const std::int64_t, 1>();
  expect.that(at(0) == 0, name, " must start at 0, got ", at(0));
  for (std::int64_t i = 1; i < at.size[0]; ++i)
    expect.that(at(i) >= at(i - 1), name, " must ascend, got ", at(i), " after ", at(i - 1), " at index ", i);
  expect.that(at(at.size[0] - 1) == length, name, " must end at ", length, ", got ", at(at.size[0] - 1));
}
inline void expect_vectors(const Expect& expect, std::string_view name, const Tensor<>& x) {
  expect.that(x.size(-1) <= 1 || x.strides()[x.rank() - 1] == 1, name, " must have stride 1 on its last axis, got strides ", x.strides());
}
}  // namespace detail

/// attention, written into `y` [B, Sq, H, D] of q's dtype: any strides but 1 on the last axis, memory of its own.
inline void attention_into(const Tensor<>& y, const Tensor<>& q, const Tensor<>& k, const Tensor<>& v, const AttentionOptions& options = {}) {
  const Expect expect{"attention"};
  expect("q", q).rank(4).floating();
  expect("k", k).rank(4).like(q);
  expect("k", k).shape({q.size(0), k.size(1), q.size(2), q.size(3)});
  expect("v", v).shape(k.shape()).like(q);
  expect("y", y).shape(q.shape()).like(q);
  detail::expect_vectors(expect, "q", q);
  detail::expect_vectors(expect, "k", k);
  detail::expect_vectors(expect, "v", v);
  detail::expect_vectors(expect, "y", y);
  if (options.bias) {
    expect("bias", options.bias).shape({q.size(2), q.size(1), k.size(1)}).on(q.device());
    if (!(q.dtype() == DType::f64 && options.bias.dtype() == DType::f64)) expect("bias", options.bias).dtype(DType::f32);
  }
  expect.that(static_cast<bool>(options.segments_q) == static_cast<bool>(options.segments_k),
              "segments_q and segments_k must be given together");
  if (options.segments_q) {
    detail::expect_segments(expect, "segments_q", options.segments_q, q.size(1), q.device());
    detail::expect_segments(expect, "segments_k", options.segments_k, k.size(1), q.device());
    expect("segments_k", options.segments_k).shape(options.segments_q.shape());
  }
  const double scale = options.scale.value_or(1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(q.size(3), 1))));
  launch(kernel::Attention{.q = q, .k = k, .v = v, .bias = options.bias, .segments_q = options.segments_q,
                           .segments_k = options.segments_k, .y = y, .scale = scale}, q.device());
}

/// softmax(scale q k^T + bias) v for every batch and head.
///   q [B, Sq, H, D] floating, k and v [B, Sk, H, D], any strides but 1 on the last axis;  returns [B, Sq, H, D], contiguous
/// With segments, query i sees the keys of its own segment only: packed samples give the same bits as separate calls.
/// A query without keys gives zeros. Scores, softmax and sums in f32 (f64 for f64), rounded once.
/// Throws ShapeError, DTypeError or DeviceError if the tensors do not fit, ArgumentError for bad strides or segments.
/// Source: Vaswani et al. 2017, eq. 1; online softmax: Milakov and Gimelshein 2018; Dao et al. 2022.
inline Tensor<> attention(const Tensor<>& q, const Tensor<>& k, const Tensor<>& v, const AttentionOptions& options = {}) {
  Expect{"attention"}("q", q).rank(4).floating();
  Tensor<> y = empty(q.shape(), q.dtype(), q.device());
  attention_into(y, q, k, v, options);
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
