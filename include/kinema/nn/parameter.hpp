// kinema/nn/parameter.hpp - a weight: a shape from the start, bytes once it is loaded or initialised.
#pragma once

#include <kinema/tensor/tensor.hpp>

#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::nn {

/// A low-rank update of a matrix that stays beside it: W + scale * up down. See nn/lora.hpp.
struct LowRank {
  Tensor<> down;  ///< [rank, in]
  Tensor<> up;    ///< [out, rank]
  double scale = 1;
};

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
  void release() {
    value_ = {};
    updates_.clear();
  }

  /// Updates that the layer adds at run time; of the weight of a linear layer only.
  const std::vector<LowRank>& updates() const { return updates_; }
  void add_update(LowRank update) { updates_.push_back(std::move(update)); }

 private:
  Shape shape_;
  Tensor<> value_;
  std::vector<LowRank> updates_;
};

}  // namespace kinema::inline KINEMA_ABI::nn
