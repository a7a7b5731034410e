// tests/support/golden.hpp - reads the parity fixtures of tests/golden and judges tensors by them.
#pragma once

#include "support/catch.hpp"
#include "support/filler.hpp"

#include <kinema/io/json.hpp>
#include <kinema/io/safetensors.hpp>
#include <kinema/nn/module.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/slice.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>

#ifndef KINEMA_GOLDEN_DIR
#error "golden.hpp: define KINEMA_GOLDEN_DIR as the folder tests/golden"
#endif

namespace kinema::test {

/// f32 (or another floating type) tensor of the filler's input `name`.
inline Tensor<> filled_input(std::string_view name, const Shape& shape, DType dtype = DType::f32) {
  Tensor<> t = empty(shape, DType::f32);
  float* out = t.data<float>();
  for (std::int64_t i = 0; i < t.numel(); ++i) out[i] = static_cast<float>(filler_input(name, static_cast<std::uint64_t>(i)));
  return op::cast(t, dtype);
}

/// Bytes of the filler's picture or video `name`.
inline Tensor<> filled_pixels(std::string_view name, const Shape& shape) {
  Tensor<> t = empty(shape, DType::u8);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<std::uint8_t>()[i] = filler_pixel(name, static_cast<std::uint64_t>(i));
  return t;
}

inline Tensor<> filled_parameter(std::string_view name, const Shape& shape, DType dtype = DType::f32) {
  Tensor<> t = empty(shape, DType::f32);
  const std::span<const std::int64_t> sizes(shape.begin(), static_cast<std::size_t>(shape.rank()));
  float* out = t.data<float>();
  for (std::int64_t i = 0; i < t.numel(); ++i) out[i] = static_cast<float>(filler_parameter(name, sizes, static_cast<std::uint64_t>(i)));
  return op::cast(t, dtype);
}

template <nn::Module M>
void fill_parameters(M& module, DType dtype = DType::f32) {
  nn::for_each_parameter(module, [&](const std::string& name, nn::Parameter& p) { p.set(filled_parameter(name, p.shape(), dtype)); });
}

/// One case of tests/golden.
class GoldenCase {
 public:
  explicit GoldenCase(const std::string& name)
      : json(io::Json::read(std::filesystem::path(KINEMA_GOLDEN_DIR) / name / "case.json")), name_(name) {
    const auto file = std::filesystem::path(KINEMA_GOLDEN_DIR) / name / "tensors.safetensors";
    if (std::filesystem::exists(file)) tensors_.emplace(file);
  }

  io::Json json;

  Shape input_shape(const std::string& input) const { return shape_of(json.at("inputs").integers(input)); }
  bool has(const std::string& tensor) const { return tensors_->contains(tensor); }
  Tensor<> stored(const std::string& tensor) const { return tensors_->get(tensor); }
  double field(const std::string& tensor, const char* key) const {
    const io::Json entry = json.at("tensors").at(tensor);
    return entry.has(key) && !entry.at(key).is_null() ? entry.at(key).as_number() : 0.0;
  }
  /// What rounding of inputs, tables and arithmetic explains, on top of `floor` times the size of the values.
  double tolerance(const std::string& tensor, double floor, double largest) const {
    return floor * std::max(1.0, largest) + 4 * field(tensor, "spread") + 2 * field(tensor, "tables");
  }

  /// Checks every stored element of `tensor` against `got` (same shape); returns the largest difference.
  double check(const std::string& tensor, const Tensor<>& got, double floor = 1e-5) const {
    INFO(name_ << ": " << tensor);
    const io::Json entry = json.at("tensors").at(tensor);
    const Shape shape = shape_of(entry.integers("shape"));
    REQUIRE(to_string(got.shape()) == to_string(shape));
    const Tensor<> mine = op::contiguous(op::cast(got, DType::f64)), want = op::cast(stored(tensor), DType::f64);
    const std::int64_t stride = entry.has("stride") ? entry.at("stride").as_integer() : 1;
    const double* x = mine.data<double>();
    const double* y = want.data<double>();
    double worst = 0, largest = 0;
    std::int64_t at = 0;
    bool finite = true;
    for (std::int64_t i = 0; i < want.numel(); ++i) {
      const double difference = std::abs(x[i * stride] - y[i]);
      finite = finite && std::isfinite(x[i * stride]);
      largest = std::max(largest, std::abs(y[i]));
      if (difference > worst) worst = difference, at = i;
    }
    CAPTURE(at, largest);
    CHECK(finite);
    CHECK(worst <= tolerance(tensor, floor, largest));
    return worst;
  }

  static Shape shape_of(const std::vector<std::int64_t>& sizes) {
    Shape s;
    for (const std::int64_t n : sizes) s.push_back(n);
    return s;
  }

 private:
  std::string name_;
  std::optional<io::Safetensors> tensors_;
};

}  // namespace kinema::test
