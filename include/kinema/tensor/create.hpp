// kinema/tensor/create.hpp - new tensors.
#pragma once

#include <kinema/runtime/context.hpp>
#include <kinema/tensor/tensor.hpp>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

namespace kinema::inline KINEMA_ABI {

/// Uninitialised. Throws ShapeError for sizes whose bytes do not fit, MemoryError if there is no memory.
inline Tensor<> empty(const Shape& shape, DType dtype, Device device = Device::cpu()) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(shape.numel(), static_cast<std::int64_t>(size_of(dtype)), &bytes))
    throw ShapeError(cat("empty: ", dtype, shape, " does not fit in 63 bits of bytes"));
  auto storage = std::make_shared<Storage>(allocate(static_cast<std::size_t>(bytes), device));
  const Ref ref{storage->data, shape, shape.contiguous_strides(), dtype, device};
  return Tensor<>(ref, std::move(storage));
}
/// Uninitialised, with shape, dtype and device of x.
inline Tensor<> empty_like(const Tensor<>& x) { return empty(x.shape(), x.dtype(), x.device()); }
/// Every byte zero. Throws as empty().
inline Tensor<> zeros(const Shape& shape, DType dtype, Device device = Device::cpu()) {
  Tensor<> t = empty(shape, dtype, device);
  if (device.is_cpu()) std::memset(t.ref().data, 0, t.bytes());
#if KINEMA_WITH_CUDA
  else cuda_set(t.ref().data, device, 0, t.bytes());
#endif
  return t;
}

/// Every element `value`, rounded to the element type.
inline Tensor<> full(const Shape& shape, double value, DType dtype, Device device = Device::cpu()) {
  Tensor<> t = empty(shape, dtype, Device::cpu());
  const std::int64_t n = t.numel();
  dispatch_any(dtype, [&]<class T>(Type<T>) {
    T v;
    if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>) v = T(static_cast<float>(value));
    else v = static_cast<T>(value);
    std::fill_n(static_cast<T*>(t.ref().data), n, v);
  });
  if (device.is_cpu()) return t;
  Tensor<> there = empty(shape, dtype, device);
  copy_bytes(there.ref().data, device, t.ref().data, Device::cpu(), t.bytes());
  return there;
}

/// A host tensor with a copy of `values` in row-major order.
template <class T>
  requires is_element<T>
Tensor<> tensor_of(std::span<const T> values, const Shape& shape) {
  if (shape.numel() != static_cast<std::int64_t>(values.size()))
    throw ShapeError(cat("tensor_of: ", values.size(), " values for shape ", shape));
  Tensor<> t = empty(shape, dtype_of<T>);
  if (!values.empty()) std::memcpy(t.ref().data, values.data(), values.size_bytes());
  return t;
}
template <class T>
  requires is_element<T>
Tensor<> tensor_of(const std::vector<T>& values, const Shape& shape) { return tensor_of(std::span<const T>(values), shape); }  ///< the same
template <class T>
  requires is_element<T>
Tensor<> tensor_of(std::initializer_list<T> values) {  ///< of rank 1
  return tensor_of(std::span<const T>(values.begin(), values.size()), Shape{static_cast<std::int64_t>(values.size())});
}

/// A window on somebody else's contiguous bytes, which `owner` (may be empty) keeps alive.
inline Tensor<> from_blob(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner = {}) {
  auto storage = std::make_shared<Storage>(Storage{data, static_cast<std::size_t>(shape.numel()) * size_of(dtype), Device::cpu(), std::move(owner)});
  const Ref ref{data, shape, shape.contiguous_strides(), dtype, Device::cpu()};
  return Tensor<>(ref, std::move(storage));
}

}  // namespace kinema::inline KINEMA_ABI
