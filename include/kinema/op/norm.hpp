// kinema/op/norm.hpp - normalisation over the last axis, alone or fused with the modulation of a diffusion transformer.
//
// Inputs may be windows: rows keep their strides if the last axis has stride 1 and the axes in front are at most two or
// lie in order; otherwise a contiguous copy is made. Statistics are in the compute type, two passes, a fixed order.
#pragma once

#include <kinema/kernel/norm.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/op/runs.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/norm.hpp>
#endif

namespace kinema::inline KINEMA_ABI::op {

namespace detail {
inline bool has_unit_rows(const Tensor<>& x) { return x.size(-1) == 1 || x.strides()[x.rank() - 1] == 1; }
/// x [..., C] as [A, R, C] with unit stride on the last axis; copies only if it must.
inline Tensor<> as_rows(const Tensor<>& x) {
  if (x.rank() == 3) return has_unit_rows(x) ? x : contiguous(x);
  if (x.rank() == 2 && has_unit_rows(x)) return unsqueeze(x, 0);
  const std::int64_t c = x.size(-1);
  return reshape(contiguous(x), {1, c > 0 ? x.numel() / c : 0, c});
}
/// The optional [C] vectors, contiguous.
inline Tensor<> vector_of(const Expect& expect, std::string_view name, const Tensor<>& v, const Tensor<>& x) {
  if (!v) return {};
  expect(name, v).shape({x.size(-1)}).floating().on(x.device());
  return contiguous(v);
}
inline Tensor<> modulation_of(const Expect& expect, std::string_view name, const Tensor<>& m, const Tensor<>& x) {
  expect(name, m).rank(3).floating().on(x.device());
  expect(name, m).shape({x.size(0), m.size(1), x.size(2)});
  return has_unit_rows(m) ? m : contiguous(m);
}
}  // namespace detail

/// (x - mean) / sqrt(var + eps) * weight + bias over the last axis, population variance.
///   x [..., C] floating; weight, bias [C] any floating type or no value; returns [..., C], contiguous, in the type of x
/// Throws ShapeError, DTypeError or DeviceError. Source: Ba et al. 2016, eq. 4; torch.nn.LayerNorm.
inline Tensor<> layer_norm(const Tensor<>& x, const Tensor<>& weight = {}, const Tensor<>& bias = {}, double eps = 1e-5) {
  const Expect expect{"layer_norm"};
  expect("x", x).rank_at_least(1).floating();
  const Tensor<> w = detail::vector_of(expect, "weight", weight, x), b = detail::vector_of(expect, "bias", bias, x);
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  if (x.numel() == 0) return y;
  const Tensor<> rows = detail::as_rows(x);
  launch(kernel::LayerNorm{.x = rows, .weight = w, .bias = b, .y = reshape(y, rows.shape()), .eps = eps}, x.device());
  return y;
}

/// weight * round(x / sqrt(mean(x^2) + eps)) over the last axis: no mean, no offset; rounded to the type of x before and
/// after the weight, as T5 does.
///   x [..., C] floating; weight [C] any floating type; returns [..., C], contiguous, in the type of x
/// Throws ShapeError, DTypeError or DeviceError. Source: Zhang and Sennrich 2019; transformers T5LayerNorm.
inline Tensor<> rms_norm(const Tensor<>& x, const Tensor<>& weight, double eps = 1e-6) {
  const Expect expect{"rms_norm"};
  expect("x", x).rank_at_least(1).floating();
  expect("weight", weight);
  const Tensor<> w = detail::vector_of(expect, "weight", weight, x);
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  if (x.numel() == 0) return y;
  const Tensor<> rows = detail::as_rows(x);
  launch(kernel::RmsNorm{.x = rows, .weight = w, .y = reshape(y, rows.shape()), .eps = eps}, x.device());
  return y;
}

/// layer_norm(x, weight, bias, eps) * (1 + scale) + shift in one pass, scale and shift chosen per row.
///   x [B, S, C] floating; weight, bias [C] or no value; shift, scale [B, G, C] any floating type, row g for the rows of
///   group g; runs i64 [R, 2] on the host, see op/runs.hpp; returns [B, S, C], contiguous, in the type of x
/// Throws ShapeError, DTypeError, DeviceError or ArgumentError (runs).
/// Source: Peebles and Xie 2023, §3.2; diffusers CogVideoXLayerNormZero, AdaLayerNorm.
inline Tensor<> ada_layer_norm(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, const Tensor<>& shift, const Tensor<>& scale,
                               const Tensor<>& runs, double eps = 1e-5) {
  const Expect expect{"ada_layer_norm"};
  expect("x", x).rank(3).floating();
  const Tensor<> w = detail::vector_of(expect, "weight", weight, x), b = detail::vector_of(expect, "bias", bias, x);
  const Tensor<> offset = detail::modulation_of(expect, "shift", shift, x), factor = detail::modulation_of(expect, "scale", scale, x);
  expect("scale", scale).shape(shift.shape()).dtype(shift.dtype());
  detail::expect_runs(expect, runs, x.size(1), shift.size(1));
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  if (x.numel() == 0) return y;
  const Tensor<> rows = detail::as_rows(x);
  launch(kernel::AdaLayerNorm{.x = rows, .weight = w, .bias = b, .shift = offset, .scale = factor, .runs = runs, .y = y, .eps = eps}, x.device());
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
