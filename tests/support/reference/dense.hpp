// tests/support/reference/dense.hpp - products, norms and pointwise formulas from their definitions, in double.
#pragma once

#include <kinema/kernel/functor.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace kinema::test::reference {

using Values = std::vector<double>;

inline double activation(kernel::Activation a, double x) {
  switch (a) {
    case kernel::Activation::silu: return x / (1 + std::exp(-x));
    case kernel::Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case kernel::Activation::gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case kernel::Activation::gelu_sigmoid: return x / (1 + std::exp(-1.702 * x));
    case kernel::Activation::relu: return x < 0 ? 0 : x;
    case kernel::Activation::mish: return x * std::tanh(std::log1p(std::exp(x)));
    default: return x;
  }
}

/// A product and, beside it, the product of the absolute values: what rounding errors are measured by.
struct Product {
  Values sum, magnitude;
};

/// a [B, M, K] b [B, K, N]
inline Product matmul(const Values& a, const Values& b, std::int64_t stack, std::int64_t m, std::int64_t k, std::int64_t n) {
  Product p{Values(static_cast<std::size_t>(stack * m * n)), Values(static_cast<std::size_t>(stack * m * n))};
  for (std::int64_t s = 0; s < stack; ++s)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t l = 0; l < k; ++l)
        for (std::int64_t j = 0; j < n; ++j) {
          const double v = a[static_cast<std::size_t>((s * m + i) * k + l)] * b[static_cast<std::size_t>((s * k + l) * n + j)];
          p.sum[static_cast<std::size_t>((s * m + i) * n + j)] += v;
          p.magnitude[static_cast<std::size_t>((s * m + i) * n + j)] += std::abs(v);
        }
  return p;
}

/// [N, K] → [K, N]
inline Values transposed(const Values& w, std::int64_t n, std::int64_t k) {
  Values t(w.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < k; ++j) t[static_cast<std::size_t>(j * n + i)] = w[static_cast<std::size_t>(i * k + j)];
  return t;
}

struct Moments { double mean, rstd; };

inline Moments moments(const double* x, std::int64_t c, double eps) {
  double mean = 0, var = 0;
  for (std::int64_t i = 0; i < c; ++i) mean += x[i] / static_cast<double>(c);
  for (std::int64_t i = 0; i < c; ++i) var += (x[i] - mean) * (x[i] - mean) / static_cast<double>(c);
  return {mean, 1 / std::sqrt(var + eps)};
}

}  // namespace kinema::test::reference
