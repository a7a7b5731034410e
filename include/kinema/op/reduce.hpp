// kinema/op/reduce.hpp - sums, means and maxima over axes, and the search for numbers that are not finite.
#pragma once

#include <kinema/kernel/reduce.hpp>
#include <kinema/op/layout.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/reduce.hpp>
#endif

#include <cstdint>
#include <initializer_list>

namespace kinema::inline KINEMA_ABI::op {

namespace detail {
/// Which axes disappear, as a bit set; no axes named means all of them.
inline unsigned axis_set(std::string_view where, const Tensor<>& x, std::initializer_list<int> axes) {
  unsigned set = axes.size() == 0 ? (1u << x.rank()) - 1 : 0;
  for (const int axis : axes) {
    const unsigned bit = 1u << x.shape().axis_index(axis);
    if (set & bit) throw ArgumentError(cat(where, ": axis ", axis, " given twice"));
    set |= bit;
  }
  return set;
}
inline Tensor<> reduce(const Tensor<>& x, kernel::Reduction reduction, std::initializer_list<int> axes) {
  const Expect expect{name_of(reduction)};
  expect("x", x).floating();
  const unsigned gone = axis_set(name_of(reduction), x, axes);
  Shape kept;
  Ref r = x.ref();
  r.shape = r.stride = {};
  for (const bool reduced : {false, true})
    for (int i = 0; i < x.rank(); ++i)
      if (((gone >> i) & 1u) == (reduced ? 1u : 0u)) {
        r.shape.push_back(x.shape()[i]), r.stride.push_back(x.strides()[i]);
        if (!reduced) kept.push_back(x.shape()[i]);
      }
  Tensor<> y = empty(kept, x.dtype(), x.device());
  if (y.numel() == 0) return y;
  if (reduction == kernel::Reduction::max && x.numel() == 0) throw ShapeError(cat("max: ", to_string(x), " has no elements"));
  launch(kernel::Reduce{.x = r, .y = y, .reduction = reduction}, x.device());
  return y;
}
}  // namespace detail

/// Sum over the given axes (all if none is given), which disappear. x floating, any strides. Summed in f64 in a fixed
/// order, rounded once. Throws DTypeError, ShapeError or ArgumentError.
inline Tensor<> sum(const Tensor<>& x, std::initializer_list<int> axes = {}) { return detail::reduce(x, kernel::Reduction::sum, axes); }
/// Arithmetic mean, as sum; NaN over no elements.
inline Tensor<> mean(const Tensor<>& x, std::initializer_list<int> axes = {}) { return detail::reduce(x, kernel::Reduction::mean, axes); }
/// Largest element, as sum; NaN if there is one. Throws ShapeError over no elements.
inline Tensor<> max(const Tensor<>& x, std::initializer_list<int> axes = {}) { return detail::reduce(x, kernel::Reduction::max, axes); }

/// Row-major index of the first NaN or infinity of a floating tensor, -1 if all its elements are finite.
inline std::int64_t first_non_finite(const Tensor<>& x) {
  Expect{"first_non_finite"}("x", x).floating();
  if (x.numel() == 0) return -1;
  const Tensor<> from = contiguous(x);
  Tensor<> at = empty({1}, DType::i64, x.device());
  launch(kernel::FirstNonFinite{.x = from, .y = at}, x.device());
  std::int64_t index = 0;
  copy_bytes(&index, Device::cpu(), at.ref().data, x.device(), sizeof index);
  return index;
}

}  // namespace kinema::inline KINEMA_ABI::op
