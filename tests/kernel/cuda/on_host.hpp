// tests/kernel/cuda/on_host.hpp - tensors for kernels that run through host execution, and their comparison with f64.
#pragma once

#include <kinema/kernel/cuda/detail/device.cuh>  // brings support/host_execution.hpp
#include <kinema/tensor/create.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace on_host {

using namespace kinema;

inline constexpr DType floating[] = {DType::f64, DType::f32, DType::bf16, DType::f16};

/// Relative to 1 + |expected|, one op with f32 arithmetic and one rounding.
inline double tolerance(DType t) {
  switch (t) {
    case DType::f64: return 1e-12;
    case DType::bf16: return 2 * 3.9e-3;
    case DType::f16: return 2 * 4.9e-4;
    default: return 2e-6;
  }
}

inline double read(const Ref& r, std::int64_t offset) {
  return dispatch_any(r.dtype, [&]<class T>(Type<T>) { return static_cast<double>(static_cast<const T*>(r.data)[offset]); });
}
inline void write(const Ref& r, std::int64_t offset, double v) {
  dispatch_floating(r.dtype, "write", [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<T, double>) static_cast<T*>(r.data)[offset] = v;
    else static_cast<T*>(r.data)[offset] = T(static_cast<float>(v));
  });
}

/// f(index, offset) for every element, row-major.
template <class F>
void for_each(const Ref& r, const F& f) {
  const std::int64_t n = r.shape.numel();
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t rest = i, offset = 0;
    for (int axis = r.rank() - 1; axis >= 0; --axis) {
      offset += rest % r.shape[axis] * r.stride[axis];
      rest /= r.shape[axis];
    }
    f(i, offset);
  }
}

inline std::vector<double> values(const Ref& r) {
  std::vector<double> v(static_cast<std::size_t>(r.shape.numel()));
  for_each(r, [&](std::int64_t i, std::int64_t offset) { v[static_cast<std::size_t>(i)] = read(r, offset); });
  return v;
}

/// Normal values of deviation 1 around 0.3, in storage of exactly that size, `offset` elements into it.
inline Tensor<> random(const Shape& shape, DType dtype, unsigned seed, std::int64_t offset = 0) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0.3, 1.0);
  const std::size_t bytes = static_cast<std::size_t>(shape.numel() + offset) * size_of(dtype);
  std::shared_ptr<void> owner(::operator new(bytes, std::align_val_t{64}), [](void* p) { ::operator delete(p, std::align_val_t{64}); });
  Tensor<> t = from_blob(static_cast<char*>(owner.get()) + static_cast<std::size_t>(offset) * size_of(dtype), shape, dtype, owner);
  for (std::int64_t i = 0; i < shape.numel(); ++i) write(t, i, normal(engine));
  return t;
}

/// Axes in another order, same storage.
inline Tensor<> permuted(const Tensor<>& t, std::span<const int> order) {
  Ref r = t.ref();
  for (int i = 0; i < t.rank(); ++i) {
    r.shape[i] = t.ref().shape[order[static_cast<std::size_t>(i)]];
    r.stride[i] = t.ref().stride[order[static_cast<std::size_t>(i)]];
  }
  return t.window(r);
}
/// Indices [begin, begin + count) of an axis, same storage.
inline Tensor<> narrowed(const Tensor<>& t, int axis, std::int64_t begin, std::int64_t count) {
  Ref r = t.ref();
  r.data = static_cast<char*>(r.data) + begin * r.stride[axis] * static_cast<std::int64_t>(size_of(r.dtype));
  r.shape[axis] = count;
  return t.window(r);
}
/// Strides for a broadcast to `shape`: 0 where an axis repeats.
inline Ref broadcast_to(const Ref& r, const Shape& shape) {
  Ref out = r;
  out.shape = shape;
  out.stride = shape;
  const int shift = shape.rank() - r.rank();
  for (int i = 0; i < shape.rank(); ++i) out.stride[i] = i < shift || r.shape[i - shift] == 1 ? 0 : r.stride[i - shift];
  return out;
}

/// The largest |actual - expected| / (1 + |expected|); infinity if one of them alone is NaN.
inline double error(const Ref& actual, const std::vector<double>& expected) {
  double worst = 0;
  for_each(actual, [&](std::int64_t i, std::int64_t offset) {
    const double a = read(actual, offset), e = expected[static_cast<std::size_t>(i)];
    if (std::isnan(a) || std::isnan(e)) {
      if (std::isnan(a) != std::isnan(e)) worst = INFINITY;
    } else if (a != e) {
      worst = std::max(worst, std::abs(a - e) / (1 + std::abs(e)));
    }
  });
  return worst;
}

/// Runs `body` with the threads of each block in ascending, descending and random order.
template <class F>
void in_every_order(const F& body) {
  for (const auto order : {host_execution::Order::ascending, host_execution::Order::descending, host_execution::Order::random}) {
    host_execution::order = order;
    body();
  }
  host_execution::order = host_execution::Order::ascending;
}

inline Tensor<> runs_of(const std::vector<std::int64_t>& pairs) { return tensor_of(pairs, {static_cast<std::int64_t>(pairs.size() / 2), 2}); }
inline std::int64_t group_of(const Tensor<>& runs, std::int64_t row) {
  const auto list = runs.view<const std::int64_t, 2>();
  std::int64_t i = 0;
  while (row >= list(i, 0)) ++i;
  return list(i, 1);
}

}  // namespace on_host
