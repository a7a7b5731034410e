// kinema/nn/parameter.hpp - a weight: a shape from the start, bytes once it is loaded or initialised.
#pragma once

#include <kinema/tensor/tensor.hpp>

#include <utility>

namespace kinema::inline KINEMA_ABI::nn {

/// A named weight of a module. A model of five billion parameters is constructed in microseconds and without memory.
class Parameter {
 public:
  explicit Parameter(const Shape& shape) : shape_(shape) {}
  const Shape& shape() const { return shape_; }
  bool has_value() const { return static_cast<bool>(value_); }
  /// Throws ArgumentError if the parameter was neither loaded nor initialised.
  const Tensor<>& value() const {
    if (!value_) throw ArgumentError(cat("parameter of shape ", shape_, ": not loaded or initialised yet"));
    return value_;
  }
  operator const Tensor<>&() const { return value(); }
  void set(Tensor<> value) {
    if (!(value.shape() == shape_)) throw ShapeError(cat("parameter: must have shape ", shape_, ", got ", to_string(value)));
    value_ = std::move(value);
  }
  void release() { value_ = {}; }

 private:
  Shape shape_;
  Tensor<> value_;
};

}  // namespace kinema::inline KINEMA_ABI::nn
