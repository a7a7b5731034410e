// kinema/op/matmul.hpp - the fully connected product with its epilogue, and stacks of matrix products.
#pragma once

#include <kinema/kernel/matmul.hpp>
#include <kinema/op/elementwise.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/matmul.hpp>
#endif

#include <optional>

namespace kinema::inline KINEMA_ABI::op {

namespace detail {
/// The axes in front of the last `inner` merged into one, if their strides allow it without a copy.
inline std::optional<Ref> merge_front(const Ref& x, int inner) {
  Ref r = x;
  const int front = x.rank() - inner;
  const bool empty = x.shape.numel() == 0;  // no element, any stride
  std::int64_t size = 1, stride = 0;
  for (int i = front - 1; i >= 0; --i) {
    if (x.shape[i] == 1) continue;
    if (size == 1) stride = x.stride[i];
    else if (!empty && x.stride[i] != size * stride) return std::nullopt;
    size *= x.shape[i];
  }
  r.shape = {size};
  r.stride = {stride};
  for (int i = front; i < x.rank(); ++i) r.shape.push_back(x.shape[i]), r.stride.push_back(x.stride[i]);
  return r;
}
inline Tensor<> merged_front(const Tensor<>& x, int inner) {
  if (const std::optional<Ref> r = merge_front(x.ref(), inner)) return x.window(*r);
  const Tensor<> y = contiguous(x);
  return y.window(*merge_front(y.ref(), inner));
}
}  // namespace detail

inline Tensor<> matmul(const Tensor<>& a, const Tensor<>& b);

namespace detail {
/// y [M, N] = x [M, K] weight^T [N, K] + bias: dx = dy weight, dweight = dy^T x, dbias = the sum over rows.
inline void record_linear(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias, const Tensor<>& y) {
  autograd::Tape* tape = autograd::Tape::following({&x, &weight, &bias});
  if (!tape) return;
  const autograd::Saved kept_x = tape->follows(weight) ? autograd::Saved(x) : autograd::Saved(), kept_weight = tape->follows(x) ? autograd::Saved(weight) : autograd::Saved();
  tape->record("linear", {x, weight, bias ? expand(bias, y.shape()) : bias}, {y}, [kept_x, kept_weight](autograd::Backward& back) {
    const Tensor<>& dy = back.of(0);
    if (back.wants(0)) back.add(0, matmul(dy, cast(kept_weight, dy.dtype())));
    if (back.wants(1)) back.add(1, matmul(transpose(dy, 0, 1), cast(kept_x, dy.dtype())));
    if (back.wants(2)) back.add(2, dy);
  });
}
}  // namespace detail

/// activation(x weight^T + bias).
///   x [..., K] floating; weight [N, K] and bias [N] (or no value) of any floating type; returns [..., N] in the type of x
/// Products and sums in f32 (f64 for f64 x), one rounding after the activation. Weights of another type, memory-mapped
/// bf16 say, are widened panel by panel. Rows of x may be strided; anything else that is not contiguous is copied first.
/// With weight_scale [N] f32 the weights are i8 and stand for weight_scale[n] weight[n, k] (see quantize_rows).
/// Throws ShapeError, DTypeError or DeviceError.
inline Tensor<> linear(const Tensor<>& x, const Tensor<>& weight, const Tensor<>& bias = {},
                       kernel::Activation activation = kernel::Activation::none, const Tensor<>& weight_scale = {}) {
  const Expect expect{"linear"};
  expect("x", x).rank_at_least(1).floating();
  expect("weight", weight).rank(2).on(x.device()).size(1, x.size(-1));
  const std::int64_t n = weight.size(0);
  if (weight_scale) {
    expect("weight", weight).dtype(DType::i8);
    expect("weight_scale", weight_scale).shape({n}).dtype(DType::f32).on(x.device()).contiguous();
  } else {
    expect("weight", weight).floating();
  }
  if (bias) expect("bias", bias).shape({n}).floating().on(x.device());
  const bool recorded = autograd::Tape::following({&x, &weight, &bias});
  if (recorded && weight_scale) throw Unsupported("linear: 8-bit weights have no gradients");
  if (recorded && activation != kernel::Activation::none)
    return activate(linear(x, weight, bias), activation);  // whose derivative needs the sums
  Tensor<> y = empty(x.shape().with(-1, n), x.dtype(), x.device());
  if (y.numel() == 0) return y;
  const std::int64_t rows = y.numel() / n;
  const bool unit = x.size(-1) <= 1 || x.strides()[x.rank() - 1] == 1;
  const Tensor<> from = detail::merged_front(unit ? x : contiguous(x), 1), w = contiguous(weight), b = bias ? contiguous(bias) : bias;
  const Tensor<> to = reshape(y, {rows, n});
  launch(kernel::Linear{.x = from, .weight = w, .bias = b, .y = to, .activation = activation, .weight_scale = weight_scale}, x.device());
  detail::record_linear(from, w, b, to);
  return y;
}

/// Weights as 8-bit integers with a scale for each row (output channel), as linear() takes them.
struct QuantizedRows {
  Tensor<> integers;  ///< [N, K] i8
  Tensor<> scale;     ///< [N] f32
};
/// Integers that times their row's scale are within half a scale of w [N, K], floating and finite; the scale is the row's
/// largest magnitude / 127. Throws ShapeError, DTypeError or DeviceError.
inline QuantizedRows quantize_rows(const Tensor<>& w) {
  Expect{"quantize_rows"}("w", w).rank(2).floating();
  const QuantizedRows out{empty(w.shape(), DType::i8, w.device()), empty({w.size(0)}, DType::f32, w.device())};
  launch(kernel::QuantizeRows{.w = contiguous(w), .q = out.integers, .scale = out.scale}, w.device());
  return out;
}

/// a b for matrices or stacks of them; the axes in front broadcast.
///   a [..., M, K], b [..., K, N] floating, one type, any strides; returns [..., M, N]
/// Sums in f32 (f64 for f64), rounded once. More than one axis in front is copied unless it merges into one.
/// Throws ShapeError, DTypeError or DeviceError.
inline Tensor<> matmul(const Tensor<>& a, const Tensor<>& b) {
  const Expect expect{"matmul"};
  expect("a", a).rank_at_least(2).floating();
  expect("b", b).rank_at_least(2).like(a).size(-2, a.size(-1));
  const std::int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  const auto with_matrix = [](Shape s, std::int64_t rows, std::int64_t columns) {
    s.push_back(rows);
    s.push_back(columns);
    return s;
  };
  const Shape front = broadcast(a.shape().first(a.rank() - 2), b.shape().first(b.rank() - 2));
  Tensor<> y = empty(with_matrix(front, m, n), a.dtype(), a.device());
  if (y.numel() == 0) return y;
  const Tensor<> left = detail::merged_front(expand(a, with_matrix(front, m, k)), 2);
  const Tensor<> right = detail::merged_front(expand(b, with_matrix(front, k, n)), 2);
  const Tensor<> to = reshape(y, {front.numel(), m, n});
  launch(kernel::MatMul{.a = left, .b = right, .y = to}, a.device());
  if (autograd::Tape* tape = autograd::Tape::following({&left, &right})) {
    const autograd::Saved kept_a = tape->follows(right) ? autograd::Saved(left) : autograd::Saved(), kept_b = tape->follows(left) ? autograd::Saved(right) : autograd::Saved();
    tape->record("matmul", {left, right}, {to}, [kept_a, kept_b](autograd::Backward& back) {
      const Tensor<>& dy = back.of(0);
      if (back.wants(0)) back.add(0, matmul(dy, transpose(cast(kept_b, dy.dtype()), 1, 2)));
      if (back.wants(1)) back.add(1, matmul(transpose(cast(kept_a, dy.dtype()), 1, 2), dy));
    });
  }
  return y;
}

}  // namespace kinema::inline KINEMA_ABI::op
