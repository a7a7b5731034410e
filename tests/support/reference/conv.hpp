// tests/support/reference/conv.hpp - convolution and resampling as definitions, in double, on planar [B, C, T, H, W].
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace kinema::test::reference {

/// Dense row-major values.
struct Volume {
  std::array<std::int64_t, 5> size{};
  std::vector<double> v;
  Volume() = default;
  explicit Volume(std::array<std::int64_t, 5> s) : size(s), v(static_cast<std::size_t>(s[0] * s[1] * s[2] * s[3] * s[4])) {}
  double& operator()(std::int64_t b, std::int64_t c, std::int64_t t, std::int64_t i, std::int64_t j) {
    return v[static_cast<std::size_t>((((b * size[1] + c) * size[2] + t) * size[3] + i) * size[4] + j)];
  }
  double operator()(std::int64_t b, std::int64_t c, std::int64_t t, std::int64_t i, std::int64_t j) const {
    return const_cast<Volume&>(*this)(b, c, t, i, j);
  }
  /// Zero outside.
  double at(std::int64_t b, std::int64_t c, std::int64_t t, std::int64_t i, std::int64_t j) const {
    return i < 0 || j < 0 || i >= size[3] || j >= size[4] ? 0.0 : (*this)(b, c, t, i, j);
  }
  template <class F>
  void for_each(const F& f) const {
    for (std::int64_t b = 0; b < size[0]; ++b)
      for (std::int64_t c = 0; c < size[1]; ++c)
        for (std::int64_t t = 0; t < size[2]; ++t)
          for (std::int64_t i = 0; i < size[3]; ++i)
            for (std::int64_t j = 0; j < size[4]; ++j) f(b, c, t, i, j);
  }
};

/// Convolution with zero padding in space and none in time; `magnitude` receives the sums of absolute products.
inline Volume conv(const Volume& x, const Volume& w, const std::vector<double>& bias, std::int64_t stride, std::int64_t top, std::int64_t left,
                   std::int64_t bottom, std::int64_t right, Volume* magnitude = nullptr) {
  Volume y({x.size[0], w.size[0], x.size[2] - w.size[2] + 1, (x.size[3] + top + bottom - w.size[3]) / stride + 1,
            (x.size[4] + left + right - w.size[4]) / stride + 1});
  if (magnitude) *magnitude = Volume(y.size);
  y.for_each([&](auto b, auto o, auto t, auto i, auto j) {
    double sum = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(o)], size = std::abs(sum);
    for (std::int64_t c = 0; c < w.size[1]; ++c)
      for (std::int64_t a = 0; a < w.size[2]; ++a)
        for (std::int64_t d = 0; d < w.size[3]; ++d)
          for (std::int64_t e = 0; e < w.size[4]; ++e) {
            const double p = w(o, c, a, d, e) * x.at(b, c, t + a, i * stride + d - top, j * stride + e - left);
            sum += p;
            size += std::abs(p);
          }
    y(b, o, t, i, j) = sum;
    if (magnitude) (*magnitude)(b, o, t, i, j) = size;
  });
  return y;
}

/// Nearest upsampling to T x H x W; with an odd T above 1 frame 0 stands alone.
inline Volume nearest(const Volume& x, std::int64_t T, std::int64_t H, std::int64_t W) {
  Volume y({x.size[0], x.size[1], T, H, W});
  const std::int64_t first = T > 1 && T % 2 == 1 ? 1 : 0;
  y.for_each([&](auto b, auto c, auto t, auto i, auto j) {
    const std::int64_t from = t < first ? t : first + (t - first) * (x.size[2] - first) / (T - first);
    y(b, c, t, i, j) = x(b, c, from, i * x.size[3] / H, j * x.size[4] / W);
  });
  return y;
}

/// Pairs of frames averaged; an odd count keeps frame 0.
inline Volume average_pairs(const Volume& x) {
  const std::int64_t first = x.size[2] % 2;
  Volume y({x.size[0], x.size[1], (x.size[2] + 1) / 2, x.size[3], x.size[4]});
  y.for_each([&](auto b, auto c, auto t, auto i, auto j) {
    y(b, c, t, i, j) = t < first ? x(b, c, t, i, j) : 0.5 * (x(b, c, 2 * t - first, i, j) + x(b, c, 2 * t - first + 1, i, j));
  });
  return y;
}

/// Group norm, then n * scale + shift where given (full size), then SiLU where wanted.
inline Volume group_norm(const Volume& x, const std::vector<double>& weight, const std::vector<double>& bias, std::int64_t groups, double eps,
                         const Volume* scale, const Volume* shift, bool silu) {
  Volume y(x.size);
  const std::int64_t per = x.size[1] / groups;
  for (std::int64_t b = 0; b < x.size[0]; ++b)
    for (std::int64_t g = 0; g < groups; ++g) {
      double sum = 0, squares = 0, n = 0;
      const auto over = [&](const auto& f) {
        for (std::int64_t c = g * per; c < (g + 1) * per; ++c)
          for (std::int64_t t = 0; t < x.size[2]; ++t)
            for (std::int64_t i = 0; i < x.size[3]; ++i)
              for (std::int64_t j = 0; j < x.size[4]; ++j) f(c, t, i, j);
      };
      over([&](auto c, auto t, auto i, auto j) { sum += x(b, c, t, i, j), n += 1; });
      const double mean = sum / n;
      over([&](auto c, auto t, auto i, auto j) { squares += (x(b, c, t, i, j) - mean) * (x(b, c, t, i, j) - mean); });
      const double rstd = 1 / std::sqrt(squares / n + eps);
      over([&](auto c, auto t, auto i, auto j) {
        double v = (x(b, c, t, i, j) - mean) * rstd * weight[static_cast<std::size_t>(c)] + bias[static_cast<std::size_t>(c)];
        if (scale) v = v * (*scale)(b, c, t, i, j) + (*shift)(b, c, t, i, j);
        y(b, c, t, i, j) = silu ? v / (1 + std::exp(-v)) : v;
      });
    }
  return y;
}

}  // namespace kinema::test::reference
