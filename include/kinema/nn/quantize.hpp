// kinema/nn/quantize.hpp - modules with 8-bit weights, and what that costs in accuracy.
#pragma once

#include <kinema/nn/module.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/matmul.hpp>

#include <cmath>

namespace kinema::inline KINEMA_ABI::nn {

/// The module with every weight that takes a scale as 8-bit integers; all other weights are shared.
template <Module M>
M quantized(M module) {
  for_each_parameter(module, [](const std::string&, Parameter& p) {
    if (!p.takes_scale() || p.scale()) return;
    op::QuantizedRows rows = op::quantize_rows(p.value());
    p.set(std::move(rows.integers), std::move(rows.scale));
  });
  return module;
}

/// The error of a block's contribution to a residual stream: |got - want| / |want - before|, Euclidean norms, all of one
/// shape, floating, on the host. 0 for equal results.
inline double contribution_error(const Tensor<>& got, const Tensor<>& want, const Tensor<>& before) {
  const Expect expect{"contribution_error"};
  expect("want", want).floating().on(Device::cpu());
  expect("got", got).shape(want.shape()).floating().on(Device::cpu());
  expect("before", before).shape(want.shape()).floating().on(Device::cpu());
  const auto in_double = [](const Tensor<>& t) { return op::contiguous(op::cast(t, DType::f64)); };
  const Tensor<> g = in_double(got), w = in_double(want), b = in_double(before);
  double error = 0, contribution = 0;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    const double target = w.data<double>()[i], e = g.data<double>()[i] - target, c = target - b.data<double>()[i];
    error += e * e;
    contribution += c * c;
  }
  if (error == 0) return 0;
  return std::sqrt(error / contribution);
}

}  // namespace kinema::inline KINEMA_ABI::nn
