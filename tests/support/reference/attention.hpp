// tests/support/reference/attention.hpp - attention, layer norm and rotation straight from their definitions, in any
// arithmetic: long double to judge by, the kernel's own precision to know what that precision can do.
#pragma once

#include "support/random_shapes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace kinema::test::reference {

struct AttentionCase {
  Tensor<> q, k, v;  ///< [B, S, H, D]
  Tensor<> bias;     ///< [H, Sq, Sk] or none
  std::vector<std::int64_t> segments_q, segments_k;  ///< empty: one segment
  double scale = 1;
};

/// Values of softmax(scale q k^T + bias) v in row-major order, everything computed in A.
template <class A>
std::vector<double> attention(const AttentionCase& c, double* largest_logit = nullptr) {
  const std::int64_t B = c.q.size(0), M = c.q.size(1), H = c.q.size(2), D = c.q.size(3), N = c.k.size(1);
  const std::vector<double> q = values_of(c.q), k = values_of(c.k), v = values_of(c.v), bias = c.bias ? values_of(c.bias) : std::vector<double>{};
  std::vector<double> y(q.size(), 0.0);
  const auto at = [&](std::int64_t b, std::int64_t s, std::int64_t length, std::int64_t h, std::int64_t d) {
    return static_cast<std::size_t>(((b * length + s) * H + h) * D + d);
  };
  const std::vector<std::int64_t> whole_q{0, M}, whole_k{0, N};
  const auto& ends_q = c.segments_q.empty() ? whole_q : c.segments_q;
  const auto& ends_k = c.segments_q.empty() ? whole_k : c.segments_k;
  for (std::int64_t b = 0; b < B; ++b)
    for (std::int64_t h = 0; h < H; ++h)
      for (std::size_t s = 0; s + 1 < ends_q.size(); ++s)
        for (std::int64_t i = ends_q[s]; i < ends_q[s + 1]; ++i) {
          const std::int64_t first = ends_k[s], n = ends_k[s + 1] - first;
          if (n == 0) continue;
          std::vector<A> w(static_cast<std::size_t>(n));
          A largest = -std::numeric_limits<A>::infinity(), total = 0;
          for (std::int64_t j = 0; j < n; ++j) {
            A x = 0;
            for (std::int64_t d = 0; d < D; ++d) x += static_cast<A>(q[at(b, i, M, h, d)]) * static_cast<A>(k[at(b, first + j, N, h, d)]);
            x *= static_cast<A>(c.scale);
            if (!bias.empty()) x += static_cast<A>(bias[static_cast<std::size_t>((h * M + i) * N + first + j)]);
            w[static_cast<std::size_t>(j)] = x;
            largest = std::max(largest, x);
            if (largest_logit) *largest_logit = std::max(*largest_logit, std::abs(static_cast<double>(x)));
          }
          for (A& x : w) x = std::exp(x - largest), total += x;
          for (std::int64_t d = 0; d < D; ++d) {
            A sum = 0;
            for (std::int64_t j = 0; j < n; ++j) sum += w[static_cast<std::size_t>(j)] * static_cast<A>(v[at(b, first + j, N, h, d)]);
            y[at(b, i, M, h, d)] = static_cast<double>(sum / total);
          }
        }
  return y;
}

/// Layer norm over the last axis of [B, S, H, D] (unless weight is empty), then rotation of rows from `first` on (unless
/// cos is empty, [N, D]).
template <class A>
std::vector<double> norm_rope(const Tensor<>& x, const std::vector<double>& weight, const std::vector<double>& bias, double eps,
                              const std::vector<double>& cos, const std::vector<double>& sin, std::int64_t first) {
  const std::int64_t S = x.size(1), H = x.size(2), D = x.size(3), rows = x.size(0) * S * H;
  std::vector<double> y = values_of(x);
  for (std::int64_t r = 0; r < rows; ++r) {
    double* u = y.data() + r * D;
    std::vector<A> n(u, u + D);
    if (!weight.empty()) {
      A mean = 0, variance = 0;
      for (const A e : n) mean += e;
      mean /= static_cast<A>(D);
      for (const A e : n) variance += (e - mean) * (e - mean);
      variance /= static_cast<A>(D);
      for (std::int64_t d = 0; d < D; ++d)
        n[static_cast<std::size_t>(d)] = (n[static_cast<std::size_t>(d)] - mean) / std::sqrt(variance + static_cast<A>(eps)) *
                                             static_cast<A>(weight[static_cast<std::size_t>(d)]) + static_cast<A>(bias[static_cast<std::size_t>(d)]);
    }
    const std::int64_t s = r / H % S - first;
    for (std::int64_t d = 0; d < D; ++d) {
      A e = n[static_cast<std::size_t>(d)];
      if (!cos.empty() && s >= 0) {
        const A other = d % 2 == 0 ? -n[static_cast<std::size_t>(d + 1)] : n[static_cast<std::size_t>(d - 1)];
        e = e * static_cast<A>(cos[static_cast<std::size_t>(s * D + d)]) + other * static_cast<A>(sin[static_cast<std::size_t>(s * D + d)]);
      }
      u[d] = static_cast<double>(e);
    }
  }
  return y;
}

}  // namespace kinema::test::reference
