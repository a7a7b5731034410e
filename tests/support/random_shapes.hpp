// tests/support/random_shapes.hpp - shapes and values that find mistakes: empty, one, primes, SIMD widths and their
// neighbours, strided windows; and tensors as vectors of double.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/slice.hpp>

#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace kinema::test {

inline constexpr DType floating_types[] = {DType::f64, DType::f32, DType::bf16, DType::f16};

/// A seeded source of shapes and values.
class Draw {
 public:
  explicit Draw(unsigned seed) : bits_(seed) {}
  std::int64_t between(std::int64_t least, std::int64_t most) { return std::uniform_int_distribution<std::int64_t>(least, most)(bits_); }
  bool coin() { return between(0, 1) == 1; }
  /// Around the widths of vectors and tiles, and 0 now and then.
  std::int64_t size(std::int64_t most = 70) {
    static constexpr std::int64_t sizes[] = {0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 70};
    for (;;) {
      const std::int64_t n = sizes[between(0, static_cast<std::int64_t>(std::size(sizes)) - 1)];
      if (n <= most) return n;
    }
  }
  DType type() { return floating_types[between(0, 3)]; }
  double normal() { return normal_(bits_); }
  std::mt19937& bits() { return bits_; }

 private:
  std::mt19937 bits_;
  std::normal_distribution<double> normal_;
};

/// The element types' own rounding of a double.
template <class T>
T element_of(double v) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) return T(static_cast<float>(v));
  else return static_cast<T>(v);
}

/// f() for every element, in row-major order, rounded to the type.
inline Tensor<> tensor_by(const Shape& shape, DType dtype, const std::function<double()>& f) {
  Tensor<> t = empty(shape, dtype);
  dispatch_any(dtype, [&]<class T>(Type<T>) {
    T* to = static_cast<T*>(t.ref().data);
    for (std::int64_t i = 0; i < t.numel(); ++i) to[i] = element_of<T>(f());
  });
  return t;
}
inline Tensor<> normal_tensor(Draw& draw, const Shape& shape, DType dtype, double scale = 1, double offset = 0) {
  return tensor_by(shape, dtype, [&] { return draw.normal() * scale + offset; });
}
/// Integers up to `most`: sums of their products are exact, so that indices can be tested without a tolerance.
inline Tensor<> integer_tensor(Draw& draw, const Shape& shape, DType dtype, std::int64_t most) {
  return tensor_by(shape, dtype, [&] { return static_cast<double>(draw.between(-most, most)); });
}

/// Every element in row-major order, whatever the strides.
inline std::vector<double> values_of(const Tensor<>& t) {
  std::vector<double> out(static_cast<std::size_t>(t.numel()));
  dispatch_any(t.dtype(), [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < t.numel(); ++i) {
      std::int64_t rest = i, offset = 0;
      for (int a = t.rank() - 1; a >= 0; --a) {
        offset += rest % t.shape()[a] * t.strides()[a];
        rest /= t.shape()[a];
      }
      const T& e = static_cast<const T*>(t.ref().data)[offset];
      if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) out[static_cast<std::size_t>(i)] = static_cast<double>(static_cast<float>(e));
      else out[static_cast<std::size_t>(i)] = static_cast<double>(e);
    }
  });
  return out;
}

/// The same values as a window with gaps and, unless `keep_last`, its axes in memory in another order. NaN (255) lies
/// around it, so that reading beside the window shows.
inline Tensor<> scattered(Draw& draw, const Tensor<>& t, bool keep_last = false) {
  const int rank = t.rank();
  std::vector<int> order(static_cast<std::size_t>(rank));
  for (int i = 0; i < rank; ++i) order[static_cast<std::size_t>(i)] = i;
  std::shuffle(order.begin(), order.end() - (keep_last && rank > 0 ? 1 : 0), draw.bits());
  Shape padded;
  for (const int axis : order) padded.push_back(t.shape()[axis] + draw.between(0, 2));
  Tensor<> all = empty(padded, t.dtype());
  std::memset(all.ref().data, 0xFF, all.bytes());
  Ref r = all.ref();
  for (int i = 0; i < rank; ++i) {
    const int axis = order[static_cast<std::size_t>(i)];
    r.shape[axis] = t.shape()[axis];
    r.stride[axis] = all.strides()[i];
    const std::int64_t slack = padded[i] - t.shape()[axis];
    r.data = static_cast<char*>(r.data) + draw.between(0, slack) * all.strides()[i] * static_cast<std::int64_t>(size_of(t.dtype()));
  }
  Tensor<> window = all.window(r);
  const std::vector<double> values = values_of(t);
  dispatch_any(t.dtype(), [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < t.numel(); ++i) {
      std::int64_t rest = i, offset = 0;
      for (int a = rank - 1; a >= 0; --a) {
        offset += rest % r.shape[a] * r.stride[a];
        rest /= r.shape[a];
      }
      static_cast<T*>(r.data)[offset] = element_of<T>(values[static_cast<std::size_t>(i)]);
    }
  });
  return window;
}

/// Whether two tensors have the same shape, type and bits.
inline bool same_bits(const Tensor<>& a, const Tensor<>& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.is_contiguous() && b.is_contiguous() &&
         std::memcmp(a.ref().data, b.ref().data, a.bytes()) == 0;
}

/// Whether f() has the same bits with 1, 2, 3, 4, 8 and 16 threads.
inline bool same_for_any_threads(const std::function<Tensor<>()>& f) {
  Tensor<> first;
  for (const int threads : {1, 2, 3, 4, 8, 16}) {
    CpuContext context(threads);
    const CpuScope scope(context);
    const Tensor<> y = f();
    if (!first) first = y;
    else if (!same_bits(first, y)) return false;
  }
  return true;
}

/// The message of the error of type E that f() throws; "(nothing thrown)" or "(another error) ..." otherwise.
template <class E>
std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("(another error) ") + e.what();
  }
  return "(nothing thrown)";
}

/// Index of the first element that is further from `want` than tolerance(i) (NaN must meet NaN, an infinity itself), or -1.
inline std::int64_t first_wrong(const std::vector<double>& got, const std::vector<double>& want, const std::function<double(std::size_t)>& tolerance) {
  if (got.size() != want.size()) return 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const bool both_nan = got[i] != got[i] && want[i] != want[i];
    if (!both_nan && got[i] != want[i] && !(std::abs(got[i] - want[i]) <= tolerance(i))) return static_cast<std::int64_t>(i);
  }
  return -1;
}
inline std::int64_t first_different(const std::vector<double>& got, const std::vector<double>& want) {
  return first_wrong(got, want, [](std::size_t) { return 0.0; });
}

}  // namespace kinema::test
