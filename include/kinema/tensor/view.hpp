// kinema/tensor/view.hpp - View, a typed window for kernels, and Ref, its erased form for op records.
#pragma once

#include <kinema/core/device.hpp>
#include <kinema/core/dtype.hpp>
#include <kinema/core/shape.hpp>

#include <cstdint>
#include <type_traits>

namespace kinema::inline KINEMA_ABI {

/// Non-owning, typed, fixed-rank window. Trivially copyable; passes by value into kernels.
template <class T, int R>
struct View {
  T* data = nullptr;
  std::int64_t size[R > 0 ? R : 1] = {};
  std::int64_t stride[R > 0 ? R : 1] = {};

  template <class... I>
    requires(sizeof...(I) == R)
  KINEMA_HD T& operator()(I... index) const {
    if constexpr (R == 0) {
      return *data;
    } else {
      const std::int64_t at[] = {static_cast<std::int64_t>(index)...};
      std::int64_t offset = 0;
      for (int i = 0; i < R; ++i) offset += at[i] * stride[i];
      return data[offset];
    }
  }
  explicit operator bool() const { return data != nullptr; }
};

class Attachment;

/// Non-owning and type-erased: what an op record carries across the backend boundary. Strides count elements.
struct Ref {
  void* data = nullptr;
  Shape shape, stride;
  DType dtype = DType::f32;
  Device device;
  Attachment* attachment = nullptr;  ///< where a backend may keep its private form of a constant (packed weights)

  explicit operator bool() const { return data != nullptr; }
  std::int64_t size(int axis) const { return shape.at(axis); }
  int rank() const { return shape.rank(); }

  /// Typed window; throws DTypeError or ShapeError if T or R is not what this is.
  template <class T, int R>
  View<T, R> view() const {
    using Element = std::remove_const_t<T>;
    if (dtype_of<Element> != dtype) throw DTypeError(cat("view: asked for ", dtype_of<Element>, ", tensor has ", dtype));
    if (shape.rank() != R) throw ShapeError(cat("view: asked for rank ", R, ", tensor has shape ", shape));
    View<T, R> v;
    v.data = static_cast<T*>(data);
    for (int i = 0; i < R; ++i) {
      v.size[i] = shape[i];
      v.stride[i] = stride[i];
    }
    return v;
  }

  bool is_contiguous() const {
    std::int64_t step = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      if (shape[i] != 1 && stride[i] != step) return shape.numel() == 0;
      step *= shape[i];
    }
    return true;
  }
};

}  // namespace kinema::inline KINEMA_ABI
