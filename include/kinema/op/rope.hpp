// kinema/op/rope.hpp - rotary position embedding, alone or fused with the layer norm of queries and keys.
#pragma once

#include <kinema/kernel/rope.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/expect.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/rope.hpp>
#endif

namespace kinema::inline KINEMA_ABI::op {

namespace detail {
inline void expect_rotary(const Expect& expect, const Tensor<>& x, const Tensor<>& cos, const Tensor<>& sin, std::int64_t first) {
  expect("x", x).rank(4).floating();
  const std::int64_t s = x.size(1), d = x.size(3);
  expect.that(d <= 1 || x.strides()[3] == 1, "x must have stride 1 on its last axis, got strides ", x.strides());
  expect.that(first >= 0, "first must not be negative, got ", first);
  expect.that(static_cast<bool>(cos) == static_cast<bool>(sin), "cos and sin must be given together");
  if (!cos) return;
  expect("cos", cos).rank(2).size(1, d).on(x.device());
  expect.that(cos.dtype() == DType::f32 || cos.dtype() == DType::f64, "cos must be f32 or f64, got ", cos);
  expect("sin", sin).shape(cos.shape()).like(cos);
  expect.that(d % 2 == 0, "rotation needs an even head width, got ", d);
  expect.that(s <= first || s - first <= cos.size(0), "cos must have ", s - first, " rows or more (", s, " tokens, the first ", first,
              " not rotated), got ", cos);
}
inline void expect_affine(const Expect& expect, const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias) {
  if (weight) expect("weight", weight).shape({x.size(3)}).floating().on(x.device());
  if (bias) expect("bias", bias).shape({x.size(3)}).floating().on(x.device());
}
inline void qk_norm_rope_into(const Tensor<>& y, const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, double eps,
                              const Tensor<>& cos, const Tensor<>& sin, std::int64_t first) {
  const Expect expect{"qk_norm_rope"};
  expect_rotary(expect, x, cos, sin, first);
  expect_affine(expect, x, weight, bias);
  launch(kernel::QkNormRope{.x = x, .weight = weight, .bias = bias, .cos = cos, .sin = sin, .y = y, .eps = eps, .first = first,
                            .normalize = true}, x.device());
}
}  // namespace detail

/// Layer norm over the head width, then the rotary embedding on the rows from `first` on: what queries and keys need.
///   x [B, S, H, D] floating, stride 1 on the last axis; weight, bias [D] floating, or none; returns [B, S, H, D], contiguous
///   cos, sin [N, D] f32 or f64, or none: row s of x, s >= first, takes table row s - first; angles stand twice in a row,
///   pairs (2j, 2j + 1) are rotated together
/// Arithmetic in f32 (f64 for f64), rounded once. Throws ShapeError, DTypeError, DeviceError or ArgumentError.
/// Source: Su et al. 2021, eq. 34; diffusers CogVideoXAttnProcessor2_0, apply_rotary_emb.
inline Tensor<> qk_norm_rope(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, double eps, const Tensor<>& cos = {},
                             const Tensor<>& sin = {}, std::int64_t first = 0) {
  Expect{"qk_norm_rope"}("x", x).rank(4).floating();
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  detail::qk_norm_rope_into(y, x, weight, bias, eps, cos, sin, first);
  return y;
}

/// qk_norm_rope, written over x: for a fresh product that nobody else holds; saves a pass over memory.
inline void qk_norm_rope_(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, double eps, const Tensor<>& cos = {},
                          const Tensor<>& sin = {}, std::int64_t first = 0) {
  detail::qk_norm_rope_into(x, x, weight, bias, eps, cos, sin, first);
}

/// The rotary embedding alone; arguments as for qk_norm_rope.
inline Tensor<> rope(const Tensor<>& x, const Tensor<>& cos, const Tensor<>& sin, std::int64_t first = 0) {
  const Expect expect{"rope"};
  expect("cos", cos);
  detail::expect_rotary(expect, x, cos, sin, first);
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  launch(kernel::QkNormRope{.x = x, .weight = {}, .bias = {}, .cos = cos, .sin = sin, .y = y, .eps = 0.0, .first = first,
                            .normalize = false}, x.device());
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
