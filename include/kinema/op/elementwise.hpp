// kinema/op/elementwise.hpp - pointwise operations. Strided inputs are made contiguous first (Binary takes them as they are).
//
// All arithmetic is in the compute type (f32; f64 for f64) and rounded once to the element type of the result.
#pragma once

#include <kinema/kernel/elementwise.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/op/runs.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/elementwise.hpp>
#endif

#include <algorithm>
#include <initializer_list>
#include <span>
#include <vector>

namespace kinema::inline KINEMA_ABI::op {

using kernel::Activation;

inline Tensor<> cast(const Tensor<>& x, DType dtype);
namespace detail {
/// What a backward function saved, in the type of gradients.
inline Tensor<> widened(const Tensor<>& x) { return cast(x, autograd::gradient_type(x.dtype())); }
}  // namespace detail

/// activation(x), floating. Throws DTypeError if x is not floating.
inline Tensor<> activate(const Tensor<>& x, Activation activation) {
  Expect{"activate"}("x", x).floating();
  if (activation == Activation::none) return x;
  const Tensor<> from = contiguous(x);
  Tensor<> y = empty_like(x);
  if (x.numel() == 0) return y;
  launch(kernel::Activate{.x = from, .y = y, .activation = activation}, x.device());
  if (autograd::Tape* tape = autograd::Tape::following({&from}))
    tape->record("activate", {from}, {y}, [from = autograd::Saved(from), activation](autograd::Backward& back) {
      const Tensor<> dy = contiguous(back.of(0)), dx = empty_like(dy);
      launch(kernel::ActivateBackward{.x = from.value(), .dy = dy, .dx = dx, .activation = activation}, dy.device());
      back.add(0, dx);
    });
  return y;
}
/// x * sigmoid(x)
inline Tensor<> silu(const Tensor<>& x) { return activate(x, Activation::silu); }
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
inline Tensor<> gelu_tanh(const Tensor<>& x) { return activate(x, Activation::gelu_tanh); }
/// 0.5 x (1 + erf(x / sqrt(2)))
inline Tensor<> gelu(const Tensor<>& x) { return activate(x, Activation::gelu); }

/// x * by, floating.
inline Tensor<> scale(const Tensor<>& x, double by) {
  Expect{"scale"}("x", x).floating();
  const Tensor<> from = contiguous(x);
  Tensor<> y = empty_like(x);
  if (x.numel() == 0) return y;
  launch(kernel::Scale{.x = from, .y = y, .by = by}, x.device());
  if (autograd::Tape* tape = autograd::Tape::following({&from}))
    tape->record("scale", {from}, {y}, [by](autograd::Backward& back) { back.add(0, scale(back.of(0), by)); });
  return y;
}

/// x limited to [low, high], floating; NaN stays NaN. Throws ArgumentError unless low <= high.
inline Tensor<> clamp(const Tensor<>& x, double low, double high) {
  const Expect expect{"clamp"};
  expect("x", x).floating();
  expect.that(low <= high, "low must not exceed high, got ", low, " and ", high);
  autograd::no_gradient("clamp", {&x});
  const Tensor<> from = contiguous(x);
  Tensor<> y = empty_like(x);
  if (x.numel() > 0) launch(kernel::Clamp{.x = from, .y = y, .low = low, .high = high}, x.device());
  return y;
}

/// x in another floating type, to nearest even; x itself if it has that type already.
inline Tensor<> cast(const Tensor<>& x, DType dtype) {
  Expect{"cast"}("x", x);
  if (x.dtype() == dtype) return x;
  Expect{"cast"}("x", x).floating();
  if (!is_floating(dtype)) throw DTypeError(cat("cast: the result must be floating, got ", dtype));
  Tensor<> y = empty(x.shape(), dtype, x.device());
  if (x.numel() == 0) return y;
  if (x.is_contiguous()) launch(kernel::Cast{.x = x, .y = y}, x.device());
  else launch(kernel::Copy{.x = x, .y = y}, x.device());
  detail::record_copy(x, y);
  return y;
}

namespace detail {
inline Tensor<> binary(const Tensor<>& a, const Tensor<>& b, kernel::Arithmetic arithmetic);
/// a and b in the shape of y: the gradient of a repeated element is the sum of its repetitions'.
inline void record_binary(const Tensor<>& a, const Tensor<>& b, const Tensor<>& y, kernel::Arithmetic arithmetic) {
  autograd::Tape* tape = autograd::Tape::following({&a, &b});
  if (!tape) return;
  if (arithmetic != kernel::Arithmetic::multiply) {
    tape->record(name_of(arithmetic), {a, b}, {y}, [arithmetic](autograd::Backward& back) {
      back.add(0, back.of(0));
      if (back.wants(1)) back.add(1, arithmetic == kernel::Arithmetic::add ? back.of(0) : scale(back.of(0), -1));
    });
    return;
  }
  const autograd::Saved factor_b = tape->follows(a) ? autograd::Saved(b) : autograd::Saved(), factor_a = tape->follows(b) ? autograd::Saved(a) : autograd::Saved();
  tape->record("mul", {a, b}, {y}, [factor_a, factor_b](autograd::Backward& back) {
    if (back.wants(0)) back.add(0, binary(back.of(0), widened(factor_b), kernel::Arithmetic::multiply));
    if (back.wants(1)) back.add(1, binary(back.of(0), widened(factor_a), kernel::Arithmetic::multiply));
  });
}
inline Tensor<> binary(const Tensor<>& a, const Tensor<>& b, kernel::Arithmetic arithmetic) {
  const Expect expect{name_of(arithmetic)};
  expect("a", a).floating();
  expect("b", b).like(a);
  Tensor<> y = empty(broadcast(a.shape(), b.shape()), a.dtype(), a.device());
  if (y.numel() == 0) return y;
  const Tensor<> left = expand(a, y.shape()), right = expand(b, y.shape());
  launch(kernel::Binary{.a = left, .b = right, .y = y, .arithmetic = arithmetic}, a.device());
  record_binary(left, right, y, arithmetic);
  return y;
}
}  // namespace detail

/// a + b with broadcasting: shapes aligned right, sizes equal or 1; any strides. Both floating and of one type.
inline Tensor<> add(const Tensor<>& a, const Tensor<>& b) { return detail::binary(a, b, kernel::Arithmetic::add); }
/// a - b, as add.
inline Tensor<> sub(const Tensor<>& a, const Tensor<>& b) { return detail::binary(a, b, kernel::Arithmetic::subtract); }
/// a * b, as add.
inline Tensor<> mul(const Tensor<>& a, const Tensor<>& b) { return detail::binary(a, b, kernel::Arithmetic::multiply); }

/// c[0] x[0] + c[1] x[1] + ... for one to four tensors of one shape and any floating types: sampler steps and guidance.
/// Products and sums in f64, rounded once to the element type of x[0], which the result has.
/// Throws ArgumentError for a wrong number of operands, ShapeError, DTypeError or DeviceError if they do not fit.
inline Tensor<> combine(std::initializer_list<double> c, std::initializer_list<Tensor<>> x) {
  const Expect expect{"combine"};
  const int n = static_cast<int>(x.size());
  expect.that(c.size() == x.size(), "needs one coefficient per tensor, got ", c.size(), " for ", x.size());
  expect.that(n >= 1 && n <= kernel::Combine::most, "takes 1 to ", kernel::Combine::most, " tensors, got ", n);
  const Tensor<>& first = *x.begin();
  Tensor<> from[kernel::Combine::most];
  kernel::Combine op{.x = {}, .c = {}, .count = n, .y = {}};
  for (int i = 0; i < n; ++i) {
    expect("x", x.begin()[i]).shape(first.shape()).floating().on(first.device());
    from[i] = contiguous(x.begin()[i]);
    op.x[i] = from[i];
    op.c[i] = c.begin()[i];
  }
  Tensor<> y = empty_like(first);
  op.y = y;
  if (y.numel() == 0) return y;
  launch(op, first.device());
  autograd::Tape* tape = autograd::Tape::current();
  if (!tape) return y;
  const std::vector<Tensor<>> inputs(from, from + n);
  if (std::none_of(inputs.begin(), inputs.end(), [&](const Tensor<>& t) { return tape->follows(t); })) return y;
  tape->record("combine", inputs, {y}, [by = std::vector<double>(c)](autograd::Backward& back) {
    for (std::size_t i = 0; i < by.size(); ++i)
      if (back.wants(i)) back.add(i, scale(back.of(0), by[i]));
  });
  return y;
}

namespace detail {
inline void gate_residual_into(const Tensor<>& y, const Tensor<>& residual, const Tensor<>& x, const Tensor<>& gate, const Tensor<>& runs) {
  const Expect expect{"gate_residual"};
  expect("x", x).shape(residual.shape()).like(residual);
  expect("gate", gate).rank(3).floating().on(residual.device());
  expect("gate", gate).shape({residual.size(0), gate.size(1), residual.size(2)});
  expect_runs(expect, runs, residual.size(1), gate.size(1));
  if (y.numel() == 0) return;
  const Tensor<> from = contiguous(x), by = gate.strides()[2] == 1 || gate.size(2) == 1 ? gate : contiguous(gate);
  launch(kernel::GateResidual{.residual = residual, .x = from, .gate = by, .runs = runs, .y = y}, residual.device());
}
}  // namespace detail

/// residual + gate * x, the gate chosen per row: y[b, s] = residual[b, s] + gate[b, group(s)] * x[b, s].
///   residual, x [B, S, C] floating, one type; gate [B, G, C] any floating type; runs i64 [R, 2] on the host, see op/runs.hpp
/// Throws ShapeError, DTypeError, DeviceError or ArgumentError (runs).
inline Tensor<> gate_residual(const Tensor<>& residual, const Tensor<>& x, const Tensor<>& gate, const Tensor<>& runs) {
  Expect{"gate_residual"}("residual", residual).rank(3).floating();
  Tensor<> y = empty_like(residual);
  detail::gate_residual_into(y, contiguous(residual), x, gate, runs);
  return y;
}

/// gate_residual, written over `residual` (which must be contiguous): for activations that nobody else holds; saves a
/// pass over memory and a buffer.
inline void gate_residual_(const Tensor<>& residual, const Tensor<>& x, const Tensor<>& gate, const Tensor<>& runs) {
  Expect{"gate_residual"}("residual", residual).rank(3).floating().contiguous();
  detail::gate_residual_into(residual, residual, x, gate, runs);
}

}  // namespace kinema::inline KINEMA_ABI::op
