// tests/support/volume.hpp - between planar tensors and the double volumes of the references.
#pragma once

#include "support/catch.hpp"
#include "support/reference/conv.hpp"

#include <kinema/op/resample.hpp>
#include <kinema/tensor/create.hpp>

#include <cstring>
#include <random>
#include <string>

namespace kinema::test {

using reference::Volume;

/// Unit roundoff of an element type: half the spacing at 1.
inline double roundoff(DType t) {
  switch (t) {
    case DType::f64: return 0x1p-53;
    case DType::f32: return 0x1p-24;
    case DType::f16: return 0x1p-11;
    default: return 0x1p-8;
  }
}

inline double rounded(double v, DType t) {
  switch (t) {
    case DType::f64: return v;
    case DType::f32: return static_cast<double>(static_cast<float>(v));
    case DType::f16: return static_cast<double>(static_cast<float>(f16(static_cast<float>(v))));
    default: return static_cast<double>(static_cast<float>(bf16(static_cast<float>(v))));
  }
}

struct Numbers {
  std::mt19937 bits;
  explicit Numbers(unsigned seed) : bits(seed) {}
  std::int64_t between(std::int64_t a, std::int64_t b) { return std::uniform_int_distribution<std::int64_t>(a, b)(bits); }
  /// Normal values that `t` holds exactly.
  Volume normal(std::array<std::int64_t, 5> size, DType t) {
    Volume v(size);
    std::normal_distribution<double> n;
    for (double& x : v.v) x = rounded(n(bits), t);
    return v;
  }
  std::vector<double> normal(std::int64_t n, DType t) { return normal({1, 1, 1, 1, n}, t).v; }
  Volume integers(std::array<std::int64_t, 5> size, std::int64_t most) {
    Volume v(size);
    for (double& x : v.v) x = static_cast<double>(between(-most, most));
    return v;
  }
};

template <class Values>
Tensor<> tensor_from(const Values& values, const Shape& shape, DType dtype) {
  Tensor<> t = empty(shape, dtype);
  dispatch_floating(dtype, "test", [&]<class T>(Type<T>) {
    for (std::size_t i = 0; i < values.size(); ++i) t.template data<T>()[i] = T(static_cast<compute_t<T>>(values[i]));
  });
  return t;
}
inline Tensor<> tensor_from(const Volume& v, DType dtype) {
  return tensor_from(v.v, {v.size[0], v.size[1], v.size[2], v.size[3], v.size[4]}, dtype);
}

inline std::vector<double> values_of(const Tensor<>& t) {
  std::vector<double> out(static_cast<std::size_t>(t.numel()));
  dispatch_floating(t.dtype(), "test", [&]<class T>(Type<T>) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(static_cast<compute_t<T>>(t.data<T>()[i]));
  });
  return out;
}

inline bool same_bits(const Tensor<>& a, const Tensor<>& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.ref().data, b.ref().data, a.bytes()) == 0;
}

/// Largest difference over its own bound c u |products| + u_out |result|; at most 1 is right.
inline double excess(const Tensor<>& planar, const Volume& want, const Volume& magnitude, double chain) {
  REQUIRE(to_string(planar.shape()) == to_string(Shape{want.size[0], want.size[1], want.size[2], want.size[3], want.size[4]}));
  const std::vector<double> got = values_of(planar);
  const double u = roundoff(planar.dtype() == DType::f64 ? DType::f64 : DType::f32), out = roundoff(planar.dtype());
  const double c = 4 + 1.5 * std::sqrt(chain);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = c * u * magnitude.v[i] + out * std::abs(want.v[i]) + 1e-300, e = std::abs(got[i] - want.v[i]) / bound;
    worst = e > worst || std::isnan(e) ? (std::isnan(e) ? 1e300 : e) : worst;
  }
  return worst;
}
inline double largest_difference(const Tensor<>& planar, const Volume& want) {
  REQUIRE(to_string(planar.shape()) == to_string(Shape{want.size[0], want.size[1], want.size[2], want.size[3], want.size[4]}));
  const std::vector<double> got = values_of(planar);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::isnan(got[i]) ? 1e300 : std::abs(got[i] - want.v[i]));
  return worst;
}

/// Runs f with 1, 2, 3, 4, 8 and 16 threads and demands equal bits.
template <class F>
void require_thread_independence(const F& f) {
  CpuContext one(1);
  Tensor<> expected;
  {
    CpuScope scope(one);
    expected = f();
  }
  for (const int threads : {2, 3, 4, 8, 16}) {
    CpuContext many(threads);
    CpuScope scope(many);
    CAPTURE(threads);
    CHECK(same_bits(f(), expected));
  }
}

template <class E, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "(nothing thrown)";
}

}  // namespace kinema::test
