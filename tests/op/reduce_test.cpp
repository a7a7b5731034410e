// tests/op/reduce_test.cpp - sums, means, maxima and the search for numbers that are not finite.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/reduce.hpp>

#include <limits>

using namespace kinema;
using namespace kinema::test;

namespace {

/// Reduces the last axis of the values of x moved so that `axes` come last.
std::vector<double> by_definition(const std::vector<double>& x, std::size_t outputs, const std::function<double(double, double)>& f, double start) {
  std::vector<double> y(outputs, start);
  for (std::size_t i = 0; i < x.size(); ++i) y[i / (x.size() / outputs)] = f(y[i / (x.size() / outputs)], x[i]);
  return y;
}

}  // namespace

TEST_CASE("sum, mean and max over every set of axes of any window", "[op][reduce]") {
  Draw draw(1);
  for (int i = 0; i < 300; ++i) {
    const DType type = draw.type();
    const Shape s{draw.between(1, 5), draw.between(1, 9), draw.between(1, 40)};
    const Tensor<> x = normal_tensor(draw, s, type), from = draw.coin() ? scattered(draw, x) : x;
    struct Choice { std::initializer_list<int> axes, order; Shape shape; };
    const Choice choices[] = {{{}, {0, 1, 2}, {}},           {{0}, {1, 2, 0}, {s[1], s[2]}}, {{1}, {0, 2, 1}, {s[0], s[2]}},
                              {{-1}, {0, 1, 2}, {s[0], s[1]}}, {{0, 2}, {1, 0, 2}, {s[1]}},    {{2, 1}, {0, 1, 2}, {s[0]}}};
    const Choice& c = choices[draw.between(0, 5)];
    const auto v = values_of(permute(x, c.order));
    const std::size_t outputs = static_cast<std::size_t>(c.shape.numel());
    const double count = static_cast<double>(v.size() / outputs);
    const auto plus = [](double a, double b) { return a + b; };
    const auto sums = by_definition(v, outputs, plus, 0);
    const auto magnitude = by_definition(v, outputs, [](double a, double b) { return a + std::abs(b); }, 0);
    const auto maxima = by_definition(v, outputs, [](double a, double b) { return std::max(a, b); }, -1e300);
    INFO(to_string(x) << " to " << to_string(c.shape));
    REQUIRE(op::sum(from, c.axes).shape() == c.shape);
    REQUIRE(op::sum(from, c.axes).dtype() == type);
    REQUIRE(first_wrong(values_of(op::sum(from, c.axes)), sums, [&](std::size_t k) { return 1e-13 * magnitude[k] + 1.01 * unit_roundoff(type) * std::abs(sums[k]); }) == -1);
    std::vector<double> means = sums;
    for (double& m : means) m /= count;
    REQUIRE(first_wrong(values_of(op::mean(from, c.axes)), means, [&](std::size_t k) { return 1e-13 * magnitude[k] + 1.01 * unit_roundoff(type) * std::abs(means[k]); }) == -1);
    REQUIRE(first_different(values_of(op::max(from, c.axes)), maxima) == -1);
  }
}

TEST_CASE("long sums run in f64: a million small terms on a large one", "[op][reduce]") {
  const Tensor<> x = full({1000003}, 0.1, DType::f32);
  const double exact = 1000003 * static_cast<double>(0.1f);
  REQUIRE(std::abs(values_of(op::sum(x)).front() - exact) <= 1.01 * 0x1p-24 * exact);
  REQUIRE(values_of(op::mean(x)).front() == static_cast<double>(0.1f));
}

TEST_CASE("reductions over nothing, and of NaN", "[op][reduce]") {
  REQUIRE(values_of(op::sum(zeros({0}, DType::f32))).front() == 0);
  REQUIRE(first_different(values_of(op::sum(zeros({3, 0}, DType::bf16), {1})), {0, 0, 0}) == -1);
  REQUIRE(std::isnan(values_of(op::mean(zeros({0}, DType::f32))).front()));
  REQUIRE(op::sum(zeros({3, 0}, DType::f32), {0}).shape() == (Shape{0}));
  Tensor<> x = zeros({9000}, DType::f32);
  REQUIRE(values_of(op::max(full({9000}, -3, DType::f32))).front() == -3);
  for (const std::int64_t at : {0, 4095, 4096, 8999}) {
    x = full({9000}, 1, DType::f32);
    x.data<float>()[at] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(std::isnan(values_of(op::max(x)).front()));
  }
}

TEST_CASE("the first number that is not finite is found, wherever it is", "[op][reduce]") {
  Draw draw(2);
  REQUIRE(op::first_non_finite(zeros({0}, DType::f32)) == -1);
  for (const DType type : floating_types)
    for (int i = 0; i < 40; ++i) {
      const std::int64_t n = draw.between(1, 50000);
      const Tensor<> x = full({n}, type == DType::f16 ? 65504 : 1e30, type);
      REQUIRE(op::first_non_finite(x) == -1);
      const std::int64_t first = draw.between(0, n - 1), second = draw.between(first, n - 1);
      const double bad[] = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()};
      op::copy_into(narrow(x, 0, second, 1), full({1}, bad[draw.between(0, 2)], type));
      op::copy_into(narrow(x, 0, first, 1), full({1}, bad[draw.between(0, 2)], type));
      REQUIRE(op::first_non_finite(x) == first);
    }
  const Tensor<> window = transpose(tensor_of(std::vector<float>{1, 2, 3, 4, std::numeric_limits<float>::infinity(), 6}, {2, 3}), 0, 1);
  REQUIRE(op::first_non_finite(window) == 3);  // row-major in the window: [1, 4], [2, inf], ...
}

TEST_CASE("reductions have the same bits for any number of threads", "[op][reduce]") {
  Draw draw(3);
  for (const DType type : floating_types) {
    const Tensor<> x = normal_tensor(draw, {7, 5003, 3}, type);
    REQUIRE(same_for_any_threads([&] { return op::sum(x); }));
    REQUIRE(same_for_any_threads([&] { return op::mean(x, {1}); }));
    REQUIRE(same_for_any_threads([&] { return op::max(x, {0, 2}); }));
  }
}

TEST_CASE("reductions say what does not fit", "[op][reduce]") {
  const Tensor<> x = zeros({2, 3}, DType::f32);
  CHECK(message_of<ArgumentError>([&] { op::sum(x, {0, -2}); }) == "sum: axis -2 given twice");
  CHECK(message_of<ShapeError>([&] { op::mean(x, {2}); }) == "axis 2 of a tensor of rank 2");
  CHECK(message_of<DTypeError>([&] { op::max(zeros({2}, DType::i64)); }) == "max: x must be floating, got i64[2]");
  CHECK(message_of<ShapeError>([&] { op::max(zeros({0}, DType::f32)); }) == "max: f32[0] has no elements");
  CHECK(message_of<DTypeError>([&] { op::first_non_finite(zeros({2}, DType::u8)); }) == "first_non_finite: x must be floating, got u8[2]");
}
