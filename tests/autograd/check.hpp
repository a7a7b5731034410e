// tests/autograd/check.hpp - gradients of ops against central differences in f64.
#pragma once

#include "support/catch.hpp"
#include "support/random_shapes.hpp"

#include <kinema/autograd/tape.hpp>

#include <cmath>
#include <functional>
#include <vector>

namespace kinema::test {

using Inputs = std::vector<Tensor<>>;
using Function = std::function<Tensor<>(const Inputs&)>;

inline double& element(const Tensor<>& t, std::int64_t i) { return t.data<double>()[i]; }

/// sum weight * f(inputs), summed in long double.
inline double weighted(const Function& f, const Inputs& inputs, const std::vector<double>& weight) {
  const std::vector<double> y = values_of(f(inputs));
  long double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<long double>(y[i]) * static_cast<long double>(weight[i]);
  return static_cast<double>(sum);
}

/// d/dt of value(t) at 0, by differences of fourth order.
inline double slope(const std::function<double(double)>& value, double step) {
  return (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step);
}

/// Checks the gradients that the tape gives for f, a function of contiguous f64 tensors, in single elements (at most
/// `elements` of each input) and along a random direction through all of them. Relative to the largest gradient of the input.
inline void check_gradients(Draw& draw, const Inputs& inputs, const Function& f, double tolerance = 1e-7, int elements = 12, double step = 3e-4) {
  autograd::Tape tape;
  for (const Tensor<>& x : inputs) tape.watch(x);
  Tensor<> y;
  {
    const autograd::Tape::Scope on(tape);
    y = f(inputs);
  }
  REQUIRE(y.dtype() == DType::f64);
  if (y.numel() == 0) return;
  const Tensor<> weight = normal_tensor(draw, y.shape(), DType::f64);
  const std::vector<double> w = values_of(weight);
  const autograd::Gradients g = tape.backward(y, weight);
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    const Tensor<>& x = inputs[n];
    if (x.numel() == 0) continue;
    CAPTURE(n, to_string(x));
    REQUIRE(g[x]);
    const std::vector<double> got = values_of(g[x]);
    double largest = 1e-3;
    for (const double v : got) largest = std::max(largest, std::abs(v));
    for (int k = 0; k < elements; ++k) {
      const std::int64_t i = draw.between(0, x.numel() - 1);
      const double before = element(x, i);
      const double want = slope([&](double t) { element(x, i) = before + t; return weighted(f, inputs, w); }, step);
      element(x, i) = before;
      CAPTURE(i, got[static_cast<std::size_t>(i)], want);
      CHECK(std::abs(got[static_cast<std::size_t>(i)] - want) <= tolerance * largest);
    }
    const std::vector<double> direction = values_of(normal_tensor(draw, {x.numel()}, DType::f64)), before = values_of(x);
    double along = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) along += got[i] * direction[i], size += std::abs(got[i] * direction[i]);
    const double want = slope(
        [&](double t) {
          for (std::int64_t i = 0; i < x.numel(); ++i) element(x, i) = before[static_cast<std::size_t>(i)] + t * direction[static_cast<std::size_t>(i)];
          return weighted(f, inputs, w);
        },
        step / std::sqrt(static_cast<double>(x.numel())));
    for (std::int64_t i = 0; i < x.numel(); ++i) element(x, i) = before[static_cast<std::size_t>(i)];
    CAPTURE(along, want, size);
    CHECK(std::abs(along - want) <= tolerance * std::max(size, 1e-3));
  }
}

/// Whether result and gradients of f have the same bits for any number of threads, in the inputs' own types.
inline bool same_gradients_for_any_threads(const Inputs& inputs, const Function& f) {
  Inputs first;
  for (const int threads : {1, 2, 3, 4, 8, 16}) {
    CpuContext context(threads);
    const CpuScope scope(context);
    autograd::Tape tape;
    for (const Tensor<>& x : inputs) tape.watch(x);
    Inputs all;
    {
      const autograd::Tape::Scope on(tape);
      all.push_back(f(inputs));
    }
    Draw draw(7);
    const autograd::Gradients g = tape.backward(all[0], normal_tensor(draw, all[0].shape(), autograd::gradient_type(all[0].dtype())));
    for (const Tensor<>& x : inputs) all.push_back(g[x]);
    if (first.empty()) first = all;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!same_bits(first[i], all[i])) return false;
  }
  return true;
}

}  // namespace kinema::test
