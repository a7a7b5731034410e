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
  /// takes_scale: its ops accept 8-bit integers with a scale for each row.
  explicit Parameter(const Shape& shape, bool takes_scale = false) : shape_(shape), takes_scale_(takes_scale) {}
  const Shape& shape() const { return shape_; }
  bool has_value() const { return static_cast<bool>(value_); }
  /// Throws ArgumentError if the parameter was neither loaded nor initialised.
  const Tensor<>& value() const {
    if (!value_) throw ArgumentError(cat("parameter of shape ", shape_, ": not loaded or initialised yet"));
    return value_;
  }
  operator const Tensor<>&() const { return value(); }
  bool takes_scale() const { return takes_scale_; }
  /// [rows] f32 if value() holds 8-bit integers that are to be multiplied by it; else no value.
  const Tensor<>& scale() const { return scale_; }
  /// `scale` belongs to a value of i8, and only where takes_scale().
  void set(Tensor<> value, Tensor<> scale = {}) {
    if (!(value.shape() == shape_)) throw ShapeError(cat("parameter: must have shape ", shape_, ", got ", to_string(value)));
    if (scale && !takes_scale_) throw ArgumentError(cat("parameter of shape ", shape_, ": takes no 8-bit integers"));
    value_ = std::move(value);
    scale_ = std::move(scale);
  }
  void release() {
    value_ = scale_ = {};
    updates_.clear();
  }

  /// Updates that the layer adds at run time; of the weight of a linear layer only.
  const std::vector<LowRank>& updates() const { return updates_; }
  void add_update(LowRank update) { updates_.push_back(std::move(update)); }

 private:
  Shape shape_;
  bool takes_scale_;
  Tensor<> value_, scale_;
  std::vector<LowRank> updates_;
};

}  // namespace kinema::inline KINEMA_ABI::nn
