// tests/op/matmul_test.cpp - linear and matmul against their definition in double.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/reference/dense.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/matmul.hpp>

using namespace kinema;
using namespace kinema::test;
using kernel::Activation;

namespace {

/// Of any kernel: libraries sum blocks of a few hundred products, then the blocks.
std::int64_t longest_chain(std::int64_t k) { return std::min<std::int64_t>(k, 384) + k / 256 + 2; }

struct Case {
  std::int64_t m, k, n;
  DType type, weight_type;
  bool bias;
  Activation activation;
};

std::string describe(const Case& c) {
  return cat("linear ", c.m, " x ", c.k, " -> ", c.n, " ", c.type, " weights ", c.weight_type, " bias ", c.bias, " ", name_of(c.activation));
}

/// |f(u) - f(v)| <= slope |u - v| for every activation.
constexpr double steepest_slope = 1.13;

void check_linear(Draw& draw, const Case& c, double offset) {
  INFO(describe(c));
  const Tensor<> x = normal_tensor(draw, {c.m, c.k}, c.type, 1, offset), w = normal_tensor(draw, {c.n, c.k}, c.weight_type, 1, offset);
  const Tensor<> b = c.bias ? normal_tensor(draw, {c.n}, c.weight_type) : Tensor<>{};
  const Tensor<> y = op::linear(draw.coin() ? scattered(draw, x, draw.coin()) : x, draw.coin() ? scattered(draw, w) : w, b, c.activation);
  REQUIRE(y.shape() == (Shape{c.m, c.n}));
  REQUIRE(y.dtype() == c.type);
  const auto product = reference::matmul(values_of(x), reference::transposed(values_of(w), c.n, c.k), 1, c.m, c.k, c.n);
  const std::vector<double> bias = c.bias ? values_of(b) : std::vector<double>(static_cast<std::size_t>(c.n));
  std::vector<double> want = product.sum, tolerance(want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double add = bias[i % static_cast<std::size_t>(c.n)], sum = want[i] + add;
    want[i] = reference::activation(c.activation, sum);
    tolerance[i] = steepest_slope * sum_tolerance(c.type, longest_chain(c.k), product.magnitude[i] + std::abs(add), 0) +
                   pointwise_tolerance(c.type, c.activation == Activation::none ? 0 : 8, std::abs(sum), want[i]);
  }
  const std::vector<double> got = values_of(y);
  const std::int64_t wrong = first_wrong(got, want, [&](std::size_t i) { return tolerance[i]; });
  if (wrong >= 0) FAIL("element " << wrong << ": " << got[static_cast<std::size_t>(wrong)] << " for " << want[static_cast<std::size_t>(wrong)] << " +- " << tolerance[static_cast<std::size_t>(wrong)]);
  SUCCEED();
}

}  // namespace

TEST_CASE("linear agrees with its definition for any sizes, strides, element types and epilogues", "[op][matmul]") {
  Draw draw(1);
  for (int i = 0; i < 400; ++i) {
    const Case c{draw.size(), draw.size(), draw.size(), draw.type(), draw.type(), draw.coin(), static_cast<Activation>(draw.between(0, 6))};
    check_linear(draw, c, draw.coin() ? 0 : 2);  // all-positive data shows a bad order of additions
  }
}

TEST_CASE("linear agrees with its definition across tile borders", "[op][matmul]") {
  Draw draw(2);
  for (const DType type : floating_types)
    for (const Shape& s : {Shape{611, 70, 483}, Shape{241, 390, 97}, Shape{5, 1921, 481}, Shape{4, 1000, 33}, Shape{1, 777, 1}, Shape{130, 2049, 34}}) {
      check_linear(draw, {s[0], s[1], s[2], type, type, true, Activation::gelu_tanh}, 0);
      check_linear(draw, {s[0], s[1], s[2], type, draw.type(), false, Activation::none}, 2);
    }
}

namespace {

/// What quantized rows stand for, as f64 [N, K].
Tensor<> dequantized(const op::QuantizedRows& rows) {
  const std::int64_t n = rows.integers.size(0), k = rows.integers.size(1);
  Tensor<> w = empty({n, k}, DType::f64);
  for (std::int64_t r = 0; r < n; ++r)
    for (std::int64_t i = 0; i < k; ++i)
      w.data<double>()[r * k + i] = static_cast<double>(rows.scale.data<float>()[r]) * static_cast<double>(rows.integers.data<std::int8_t>()[r * k + i]);
  return w;
}

}  // namespace

TEST_CASE("quantized rows are within half a scale of the weights, and the scale is as small as can be", "[op][matmul]") {
  Draw draw(11);
  for (int i = 0; i < 100; ++i) {
    const std::int64_t n = draw.size(), k = draw.size();
    const DType type = draw.type();
    const Tensor<> w = normal_tensor(draw, {n, k}, type);
    const op::QuantizedRows rows = op::quantize_rows(draw.coin() ? scattered(draw, w) : w);
    REQUIRE(rows.integers.dtype() == DType::i8);
    const std::vector<double> want = values_of(w), got = values_of(dequantized(rows));
    for (std::int64_t r = 0; r < n; ++r) {
      double largest = 0;
      for (std::int64_t c = 0; c < k; ++c) largest = std::max(largest, std::abs(want[static_cast<std::size_t>(r * k + c)]));
      const double scale = static_cast<double>(rows.scale.data<float>()[r]);
      REQUIRE(scale == Approx(largest / 127).epsilon(1e-6));
      for (std::int64_t c = 0; c < k; ++c) {
        const auto at = static_cast<std::size_t>(r * k + c);
        REQUIRE(std::abs(got[at] - want[at]) <= 0.5001 * scale);
      }
    }
  }
  const op::QuantizedRows none = op::quantize_rows(zeros({3, 5}, DType::bf16));
  CHECK(values_of(dequantized(none)) == std::vector<double>(15, 0.0));
  const Tensor<> tiny = full({1, 4}, 1e-38, DType::f32);  // its scale is subnormal and has no inverse
  tiny.data<float>()[1] = 0;
  CHECK(values_of(op::quantize_rows(tiny).integers) == std::vector<double>{127, 0, 127, 127});
  CHECK_THROWS_WITH(op::quantize_rows(zeros({3}, DType::f32)), Catch::Matchers::Contains("quantize_rows: w must have rank 2"));
}

TEST_CASE("linear with quantized weights agrees with the weights that they stand for", "[op][matmul]") {
  Draw draw(12);
  for (int i = 0; i < 200; ++i) {
    const bool large = i % 20 == 0;
    const std::int64_t m = large ? 250 : draw.size(), k = large ? 777 : draw.size(), n = large ? 490 : draw.size();
    const DType type = draw.type();
    const auto activation = static_cast<Activation>(draw.between(0, 6));
    const Tensor<> x = normal_tensor(draw, {m, k}, type), b = draw.coin() ? normal_tensor(draw, {n}, draw.type()) : Tensor<>{};
    const op::QuantizedRows rows = op::quantize_rows(normal_tensor(draw, {n, k}, DType::f32));
    INFO(describe({m, k, n, type, DType::i8, static_cast<bool>(b), activation}));
    const Tensor<> y = op::linear(draw.coin() ? scattered(draw, x) : x, rows.integers, b, activation, rows.scale);
    REQUIRE(y.dtype() == type);
    const auto product = reference::matmul(values_of(x), reference::transposed(values_of(dequantized(rows)), n, k), 1, m, k, n);
    const std::vector<double> bias = b ? values_of(b) : std::vector<double>(static_cast<std::size_t>(n)), got = values_of(y);
    for (std::size_t e = 0; e < got.size(); ++e) {
      const double add = bias[e % static_cast<std::size_t>(n)], sum = product.sum[e] + add, want = reference::activation(activation, sum);
      const double tolerance = steepest_slope * sum_tolerance(type, longest_chain(k) + 1, product.magnitude[e] + std::abs(add), 0) +
                               pointwise_tolerance(type, activation == Activation::none ? 0 : 8, std::abs(sum), want);
      if (!(std::abs(got[e] - want) <= tolerance)) FAIL("element " << e << ": " << got[e] << " for " << want << " +- " << tolerance);
    }
  }
}

TEST_CASE("linear refuses 8-bit weights without their scale, and a scale beside others", "[op][matmul]") {
  const Tensor<> x = zeros({2, 3}, DType::f32), w = zeros({4, 3}, DType::i8), scale = zeros({4}, DType::f32);
  CHECK_THROWS_WITH(op::linear(x, w), Catch::Matchers::Contains("linear: weight must be floating, got i8[4, 3]"));
  CHECK_THROWS_WITH(op::linear(x, zeros({4, 3}, DType::f32), {}, Activation::none, scale), Catch::Matchers::Contains("weight must be i8"));
  CHECK_THROWS_WITH(op::linear(x, w, {}, Activation::none, zeros({3}, DType::f32)), Catch::Matchers::Contains("weight_scale must have shape [4]"));
  CHECK_THROWS_AS(op::linear(x, w, {}, Activation::none, zeros({4}, DType::bf16)), DTypeError);
}

TEST_CASE("linear reads every index of every operand: integers leave no room for tolerance", "[op][matmul]") {
  Draw draw(3);
  for (int i = 0; i < 300; ++i) {
    const std::int64_t m = draw.size(), k = draw.size(), n = draw.size();
    const DType type = draw.coin() ? DType::f32 : DType::f64;
    const Tensor<> x = integer_tensor(draw, {m, k}, type, 8), w = integer_tensor(draw, {n, k}, draw.type(), 8), b = integer_tensor(draw, {n}, type, 8);
    const Tensor<> y = op::linear(draw.coin() ? scattered(draw, x) : x, w, b);
    auto want = reference::matmul(values_of(x), reference::transposed(values_of(w), n, k), 1, m, k, n).sum;
    const auto bias = values_of(b);
    for (std::size_t j = 0; j < want.size(); ++j) want[j] += bias[j % bias.size()];
    INFO(m << " x " << k << " -> " << n << " " << name_of(type));
    REQUIRE(first_different(values_of(y), want) == -1);
  }
}

TEST_CASE("linear keeps the axes in front", "[op][matmul]") {
  Draw draw(4);
  const Tensor<> x = integer_tensor(draw, {2, 3, 5, 7}, DType::f32, 8), w = integer_tensor(draw, {4, 7}, DType::f32, 8);
  const Tensor<> flat = op::linear(reshape(x, {30, 7}), w);
  REQUIRE(op::linear(x, w).shape() == (Shape{2, 3, 5, 4}));
  REQUIRE(first_different(values_of(op::linear(x, w)), values_of(flat)) == -1);
  REQUIRE(first_different(values_of(op::linear(narrow(x, 1, 1, 2), w)), values_of(narrow(op::linear(x, w), 1, 1, 2))) == -1);
  REQUIRE(op::linear(select(select(select(x, 0, 0), 0, 0), 0, 0), w).shape() == (Shape{4}));
  REQUIRE(first_different(values_of(op::linear(expand(narrow(x, 2, 0, 1), x.shape()), w)),
                          values_of(expand(narrow(op::linear(x, w), 2, 0, 1), {2, 3, 5, 4}))) == -1);  // rows that repeat
}

TEST_CASE("matmul agrees with its definition for stacks, broadcast and strided operands", "[op][matmul]") {
  Draw draw(5);
  for (int i = 0; i < 300; ++i) {
    const std::int64_t m = draw.size(40), k = draw.size(40), n = draw.size(40), p = draw.between(1, 3), q = draw.between(1, 3);
    const DType type = draw.type();
    const bool whole = draw.coin(), integers = draw.coin() && type != DType::bf16 && type != DType::f16;
    const auto make = [&](const Shape& s) { return integers ? integer_tensor(draw, s, type, 8) : normal_tensor(draw, s, type); };
    const Tensor<> a = make({p, q, m, k}), b = whole ? make({p, q, k, n}) : make({k, n});
    const Tensor<> y = op::matmul(draw.coin() ? scattered(draw, a) : a, draw.coin() ? scattered(draw, b) : b);
    REQUIRE(y.shape() == (Shape{p, q, m, n}));
    const auto want = reference::matmul(values_of(a), values_of(expand(b, {p, q, k, n})), p * q, m, k, n);
    const std::int64_t wrong = first_wrong(values_of(y), want.sum, [&](std::size_t j) {
      return integers ? 0.0 : sum_tolerance(type, longest_chain(k), want.magnitude[j], want.sum[j]);
    });
    INFO("[" << p << ", " << q << ", " << m << ", " << k << "] x " << n << " " << name_of(type) << " element " << wrong);
    REQUIRE(wrong == -1);
  }
}

TEST_CASE("products have the same bits for any number of threads", "[op][matmul]") {
  Draw draw(6);
  for (const DType type : floating_types)
    for (const Shape& s : {Shape{700, 300, 500}, Shape{97, 513, 1000}, Shape{2, 512, 333}, Shape{1216, 64, 40}}) {
      const Tensor<> x = normal_tensor(draw, {s[0], s[1]}, type), w = normal_tensor(draw, {s[2], s[1]}, type), b = normal_tensor(draw, {s[2]}, type);
      INFO(to_string(s) << " " << name_of(type));
      REQUIRE(same_for_any_threads([&] { return op::linear(x, w, b, Activation::gelu_tanh); }));
    }
  const Tensor<> a = normal_tensor(draw, {7, 33, 65}, DType::f32), b = normal_tensor(draw, {7, 65, 129}, DType::f32);
  REQUIRE(same_for_any_threads([&] { return op::matmul(a, b); }));
  REQUIRE(same_for_any_threads([&] { return op::matmul(transpose(b, 1, 2), transpose(a, 1, 2)); }));
}

TEST_CASE("matmul and linear say what does not fit", "[op][matmul]") {
  const Tensor<> x = zeros({2, 3}, DType::f32), w = zeros({4, 5}, DType::f32);
  CHECK(message_of<ShapeError>([&] { op::linear(x, w); }) == "linear: weight must have size 3 on axis 1, got f32[4, 5]");
  CHECK(message_of<ShapeError>([&] { op::linear(x, zeros({4, 3}, DType::f32), zeros({3}, DType::f32)); }) == "linear: bias must have shape [4], got f32[3]");
  CHECK(message_of<DTypeError>([&] { op::linear(zeros({2, 3}, DType::i64), w); }) == "linear: x must be floating, got i64[2, 3]");
  CHECK(message_of<DTypeError>([&] { op::linear(x, zeros({4, 3}, DType::u8)); }) == "linear: weight must be floating, got u8[4, 3]");
  CHECK(message_of<ArgumentError>([&] { op::linear(x, {}); }) == "linear: weight has no value");
  CHECK(message_of<ShapeError>([&] { op::linear(zeros({}, DType::f32), w); }) == "linear: x must have rank 1 or more, got f32[]");
  CHECK(message_of<ShapeError>([&] { op::matmul(x, w); }) == "matmul: b must have size 3 on axis -2, got f32[4, 5]");
  CHECK(message_of<ShapeError>([&] { op::matmul(zeros({2, 2, 3}, DType::f32), zeros({3, 3, 4}, DType::f32)); }) == "shapes [2] and [3] do not broadcast");
  CHECK(message_of<DTypeError>([&] { op::matmul(x, zeros({3, 5}, DType::bf16)); }) == "matmul: b must be f32, got bf16[3, 5]");
  CHECK(message_of<ShapeError>([&] { op::matmul(zeros({3}, DType::f32), w); }) == "matmul: a must have rank 2 or more, got f32[3]");
}

TEST_CASE("a product over no elements is zero, and the epilogue still runs", "[op][matmul]") {
  const Tensor<> y = op::linear(zeros({7, 0}, DType::f32), zeros({3, 0}, DType::f32), full({3}, 2, DType::f32));
  REQUIRE(first_different(values_of(y), std::vector<double>(21, 2.0)) == -1);
  REQUIRE(first_different(values_of(op::matmul(zeros({2, 5, 0}, DType::bf16), zeros({2, 0, 6}, DType::bf16))), std::vector<double>(60)) == -1);
}
