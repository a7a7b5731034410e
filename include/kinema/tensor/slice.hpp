// kinema/tensor/slice.hpp - other windows on the same storage: no copy, no computation.
#pragma once

#include <kinema/tensor/expect.hpp>

#include <initializer_list>

namespace kinema::inline KINEMA_ABI {

/// Elements [begin, begin + length) of one axis.
inline Tensor<> narrow(const Tensor<>& x, int axis, std::int64_t begin, std::int64_t length) {
  const int a = x.shape().axis_index(axis);
  if (begin < 0 || length < 0 || begin > x.shape()[a] || length > x.shape()[a] - begin)
    throw ShapeError(cat("narrow: [", begin, ", +", length, ") leaves axis ", a, " of ", to_string(x)));
  Ref r = x.ref();
  r.data = static_cast<unsigned char*>(r.data) + begin * r.stride[a] * static_cast<std::int64_t>(size_of(r.dtype));
  r.shape[a] = length;
  return x.window(r);
}

/// One index of an axis, which disappears.
inline Tensor<> select(const Tensor<>& x, int axis, std::int64_t index) {
  const int a = x.shape().axis_index(axis);
  Ref r = narrow(x, a, index, 1).ref();
  Shape shape, stride;
  for (int i = 0; i < r.shape.rank(); ++i)
    if (i != a) shape.push_back(r.shape[i]), stride.push_back(r.stride[i]);
  r.shape = shape;
  r.stride = stride;
  return x.window(r);
}

/// Axes in another order: permute(x, {1, 0}) is the transpose of a matrix.
inline Tensor<> permute(const Tensor<>& x, std::initializer_list<int> order) {
  Ref r = x.ref();
  if (static_cast<int>(order.size()) != x.rank()) throw ShapeError(cat("permute: ", order.size(), " axes for ", to_string(x)));
  unsigned seen = 0;
  int i = 0;
  for (int axis : order) {
    const int a = x.shape().axis_index(axis);
    if (seen & (1u << a)) throw ShapeError(cat("permute: axis ", a, " given twice"));
    seen |= 1u << a;
    r.shape[i] = x.shape()[a];
    r.stride[i] = x.strides()[a];
    ++i;
  }
  return x.window(r);
}
/// Two axes swapped; no copy. Throws ShapeError for axes that x does not have.
inline Tensor<> transpose(const Tensor<>& x, int a, int b) {
  Ref r = x.ref();
  const int i = x.shape().axis_index(a), j = x.shape().axis_index(b);
  std::swap(r.shape[i], r.shape[j]);
  std::swap(r.stride[i], r.stride[j]);
  return x.window(r);
}

/// A new axis of size 1 in front of `axis`.
inline Tensor<> unsqueeze(const Tensor<>& x, int axis) {
  const int a = axis < 0 ? axis + x.rank() + 1 : axis;
  if (a < 0 || a > x.rank()) throw ShapeError(cat("unsqueeze: axis ", axis, " of ", to_string(x)));
  Ref r = x.ref();
  Shape shape, stride;
  for (int i = 0; i <= x.rank(); ++i) {
    if (i == a) shape.push_back(1), stride.push_back(1);
    if (i < x.rank()) shape.push_back(r.shape[i]), stride.push_back(r.stride[i]);
  }
  r.shape = shape;
  r.stride = stride;
  return x.window(r);
}

/// Axes of size 1 repeated without a copy (stride 0); other sizes must agree, new axes come in front.
inline Tensor<> expand(const Tensor<>& x, const Shape& to) {
  const int shift = to.rank() - x.rank();
  Ref r = x.ref();
  Shape stride = to;
  for (int i = 0; i < to.rank(); ++i) {
    const std::int64_t have = i < shift ? 1 : x.shape()[i - shift];
    if (shift < 0 || (have != to[i] && have != 1)) throw ShapeError(cat("expand: ", to_string(x), " to ", to));
    stride[i] = i < shift || have != to[i] ? 0 : x.strides()[i - shift];
  }
  r.shape = to;
  r.stride = stride;
  return x.window(r);
}

/// Other sizes over the same elements in the same order; one size may be -1. A view: throws ShapeError if the strides
/// do not allow it (op::contiguous first).
inline Tensor<> reshape(const Tensor<>& x, Shape to) {
  std::int64_t known = 1;
  int open = -1;
  for (int i = 0; i < to.rank(); ++i) {
    if (to[i] == -1 && open < 0) open = i;
    else if (to[i] < 0) throw ShapeError(cat("reshape: sizes ", to));
    else known *= to[i];
  }
  const std::int64_t n = x.numel();
  if (open >= 0) to[open] = known > 0 ? n / known : 0;
  if (to.numel() != n) throw ShapeError(cat("reshape: ", to_string(x), " has ", n, " elements, ", to, " has not"));

  // Walk both shapes from the back, matching groups of axes with equal products (as numpy does).
  Ref r = x.ref();
  Shape stride = to.contiguous_strides();
  if (n > 0 && !x.is_contiguous()) {
    int i = x.rank() - 1, j = to.rank() - 1;
    while (j >= 0) {
      while (i >= 0 && x.shape()[i] == 1) --i;
      if (i < 0) {
        for (; j >= 0; --j) stride[j] = 1;
        break;
      }
      std::int64_t have = x.shape()[i], step = x.strides()[i];
      const std::int64_t base = step;
      std::int64_t want = 1, inner = base;
      // grow the old group until the new axes fit into it
      int lowest = i;
      while (j >= 0) {
        while (want * to[j] > have && lowest > 0) {
          --lowest;
          if (x.shape()[lowest] == 1) continue;
          if (x.strides()[lowest] != have * base) throw ShapeError(cat("reshape: strides ", x.strides(), " of ", to_string(x), " do not allow ", to));
          have *= x.shape()[lowest];
        }
        stride[j] = inner;
        want *= to[j];
        inner *= to[j];
        --j;
        if (want == have) break;
      }
      i = lowest - 1;
    }
  }
  r.shape = to;
  r.stride = stride;
  return x.window(r);
}

/// Axes [first, last] merged into one.
inline Tensor<> flatten(const Tensor<>& x, int first = 0, int last = -1) {
  const int a = x.shape().axis_index(first), b = x.shape().axis_index(last);
  Shape to;
  std::int64_t merged = 1;
  for (int i = 0; i < x.rank(); ++i) {
    if (i < a || i > b) to.push_back(x.shape()[i]);
    else {
      merged *= x.shape()[i];
      if (i == b) to.push_back(merged);
    }
  }
  return reshape(x, to);
}

}  // namespace kinema::inline KINEMA_ABI
