// tests/op/rope_test.cpp - layer norm with rotary embedding against its definition, and what a rotation must keep.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/reference/attention.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/rope.hpp>

#include <cmath>
#include <cstring>
#include <tuple>

using namespace kinema;
using namespace kinema::test;

namespace {

struct Table {
  Tensor<> cos, sin;
};
/// Rows of angles position * rate_j, each twice in a row.
Table table_of(const std::vector<double>& positions, std::int64_t d, DType dtype) {
  const auto n = static_cast<std::int64_t>(positions.size());
  std::int64_t at = 0;
  const auto angle = [&] {
    const double a = positions[static_cast<std::size_t>(at / d)] * std::pow(10000.0, -static_cast<double>(at % d / 2 * 2) / static_cast<double>(d));
    at = (at + 1) % (n * d);
    return a;
  };
  const Tensor<> c = tensor_by({n, d}, dtype, [&] { return std::cos(angle()); });
  return {c, tensor_by({n, d}, dtype, [&] { return std::sin(angle()); })};
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double m = 0;
  for (std::size_t i = 0; i < a.size(); ++i) m = std::max(m, std::abs(a[i] - b[i]));
  return m;
}
/// One vector at one position, rotated in f64.
std::vector<double> rotated(const std::vector<double>& x, double position) {
  const auto d = static_cast<std::int64_t>(x.size());
  const Table t = table_of({position}, d, DType::f64);
  return values_of(op::rope(tensor_of(x, {1, 1, 1, d}), t.cos, t.sin));
}
std::vector<double> normal_vector(Draw& draw, std::size_t n) {
  std::vector<double> v(n);
  for (double& e : v) e = draw.normal();
  return v;
}

}  // namespace

TEST_CASE("qk_norm_rope agrees with its definition for every shape, type, stride and table", "[op][rope]") {
  Draw draw(41);
  static constexpr std::int64_t widths[] = {2, 4, 6, 8, 14, 16, 18, 30, 32, 48, 64, 66, 72, 130};
  for (int i = 0; i < 300; ++i) {
    const DType dtype = draw.type(), of_weight = draw.coin() ? dtype : draw.type(), of_table = draw.coin() ? DType::f32 : DType::f64;
    const std::int64_t b = draw.between(0, 3), s = draw.size(40), h = draw.between(1, 19), d = widths[draw.between(0, 13)];
    const std::int64_t first = draw.between(0, s + 1), spare = draw.between(0, 3);
    const bool affine = draw.between(0, 3) > 0, rotate = draw.between(0, 3) > 0;
    const double offset = draw.between(0, 3) == 0 ? 30 : 0;  // a mean far from zero
    const Tensor<> dense = normal_tensor(draw, {b, s, h, d}, dtype, 2, offset), x = draw.coin() ? scattered(draw, dense, true) : dense;
    Tensor<> weight, bias;
    std::vector<double> w(static_cast<std::size_t>(d), 1.0), c(static_cast<std::size_t>(d), 0.0);
    if (affine) {
      weight = normal_tensor(draw, {d}, of_weight), bias = normal_tensor(draw, {d}, of_weight);
      w = values_of(weight), c = values_of(bias);
    }
    Tensor<> cos, sin;
    if (rotate) {
      const std::int64_t n = std::max<std::int64_t>(s - first, 0) + spare;
      cos = normal_tensor(draw, {n, d}, of_table), sin = normal_tensor(draw, {n, d}, of_table);  // any numbers: pairs need not agree
      if (draw.coin()) cos = scattered(draw, cos), sin = scattered(draw, sin);
    }
    CAPTURE(i, to_string(dtype), b, s, h, d, first, affine, rotate, offset);
    const auto reference_in = [&]<class A>(A) {
      return reference::norm_rope<A>(x, w, c, 1e-6, rotate ? values_of(cos) : std::vector<double>{}, rotate ? values_of(sin) : std::vector<double>{}, first);
    };
    const std::vector<double> want = reference_in(0.0L);
    const std::vector<double> plain = dtype == DType::f64 ? reference_in(0.0) : reference_in(0.0f);
    double largest = 0;
    for (const double e : want) largest = std::max(largest, std::abs(e));
    const double error = 2 * largest_difference(plain, want) + 12 * compute_roundoff(dtype) * largest * (1 + offset);
    const Tensor<> y = op::qk_norm_rope(x, weight, bias, 1e-6, cos, sin, first);
    REQUIRE(first_wrong(values_of(y), want, [&](std::size_t e) { return pointwise_tolerance(dtype, 0, 0, want[e]) + error; }) == -1);

    op::qk_norm_rope_(x, weight, bias, 1e-6, cos, sin, first);
    REQUIRE(values_of(x) == values_of(y));
  }
}

TEST_CASE("rope moves exactly the right numbers", "[op][rope]") {
  // Quarter turns of integers: no rounding, so any wrong index or sign shows.
  Draw draw(42);
  for (int i = 0; i < 100; ++i) {
    const DType dtype = draw.type();
    const std::int64_t b = draw.between(1, 3), s = draw.between(1, 20), h = draw.between(1, 4), d = 2 * draw.between(1, 40), first = draw.between(0, s);
    const Tensor<> x = integer_tensor(draw, {b, s, h, d}, dtype, 200);
    std::vector<std::int64_t> turns(static_cast<std::size_t>((s - first) * d / 2));
    for (auto& t : turns) t = draw.between(0, 3);
    static constexpr double cosines[] = {1, 0, -1, 0};
    std::size_t at = 0;
    const Tensor<> cos = tensor_by({s - first, d}, DType::f32, [&] { return cosines[turns[at++ / 2]]; });
    at = 0;
    const Tensor<> sin = tensor_by({s - first, d}, DType::f32, [&] { return cosines[(turns[at++ / 2] + 3) % 4]; });
    const std::vector<double> got = values_of(op::rope(x, cos, sin, first)), from = values_of(x);
    std::int64_t wrong = 0;
    for (std::int64_t r = 0; r < b * s * h; ++r)
      for (std::int64_t j = 0; j < d / 2; ++j) {
        const auto e = static_cast<std::size_t>(r * d + 2 * j);
        const std::int64_t row = r / h % s - first, turn = row < 0 ? 0 : turns[static_cast<std::size_t>(row * d / 2 + j)];
        double p = from[e], q = from[e + 1];
        for (std::int64_t t = 0; t < turn; ++t) std::tie(p, q) = std::pair(-q, p);
        wrong += got[e] != p || got[e + 1] != q;
      }
    CAPTURE(i, to_string(dtype), b, s, h, d, first);
    REQUIRE(wrong == 0);
  }
}

TEST_CASE("rope: scores depend on differences of positions, lengths are kept, rotations add up", "[op][rope]") {
  Draw draw(43);
  for (const std::size_t d : {2u, 16u, 34u, 64u}) {
    const std::vector<double> q = normal_vector(draw, d), k = normal_vector(draw, d);
    for (const double shift : {1.0, 7.0, 1000.0}) {
      const double a = static_cast<double>(draw.between(0, 50)), b = static_cast<double>(draw.between(0, 50));
      CHECK(std::abs(dot(rotated(q, a), rotated(k, b)) - dot(rotated(q, a + shift), rotated(k, b + shift))) <= 1e-12 * static_cast<double>(d));
      CHECK(largest_difference(rotated(rotated(q, a), b), rotated(q, a + b)) <= 1e-12);
      CHECK(std::abs(dot(rotated(q, a), rotated(q, a)) - dot(q, q)) <= 1e-12 * static_cast<double>(d));
    }
    CHECK(rotated(q, 0) == q);
    CHECK(largest_difference(rotated(q, 1), q) > 1e-3);
  }
}

TEST_CASE("rope: a part of the sequence with its own rows of the table is the part of the whole", "[op][rope]") {
  Draw draw(44);
  const std::int64_t s = 37, text = 5, d = 24;
  const Tensor<> x = normal_tensor(draw, {2, s, 3, d}, DType::f32), w = normal_tensor(draw, {d}, DType::f32), c = normal_tensor(draw, {d}, DType::f32);
  std::vector<double> positions;
  for (std::int64_t i = 0; i < s - text; ++i) positions.push_back(static_cast<double>(i));
  const Table t = table_of(positions, d, DType::f32);
  const Tensor<> whole = op::qk_norm_rope(x, w, c, 1e-6, t.cos, t.sin, text);
  const Tensor<> part = op::qk_norm_rope(narrow(x, 1, 20, 17), w, c, 1e-6, narrow(t.cos, 0, 20 - text, 17), narrow(t.sin, 0, 20 - text, 17));
  CHECK(values_of(part) == values_of(narrow(whole, 1, 20, 17)));
  const Tensor<> front = op::qk_norm_rope(narrow(x, 1, 0, 11), w, c, 1e-6, t.cos, t.sin, text);
  CHECK(values_of(front) == values_of(narrow(whole, 1, 0, 11)));
}

TEST_CASE("qk_norm_rope has the same bits for any number of threads", "[op][rope]") {
  Draw draw(45);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor<> x = normal_tensor(draw, {2, 150, 21, 64}, dtype), w = normal_tensor(draw, {64}, dtype), c = normal_tensor(draw, {64}, dtype);
    const Tensor<> cos = normal_tensor(draw, {150, 64}, DType::f32), sin = normal_tensor(draw, {150, 64}, DType::f32);
    CHECK(same_for_any_threads([&] { return op::qk_norm_rope(x, w, c, 1e-6, cos, sin, 11); }));
  }
}

TEST_CASE("rope says what is wrong with its arguments", "[op][rope]") {
  const Tensor<> x = zeros({2, 9, 3, 8}, DType::f32), w = zeros({8}, DType::f32), t = zeros({6, 8}, DType::f32);
  const auto call = [&](const Tensor<>& a, const Tensor<>& weight, const Tensor<>& cos, const Tensor<>& sin, std::int64_t first) {
    return [=] { op::qk_norm_rope(a, weight, w, 1e-6, cos, sin, first); };
  };
  CHECK(message_of<ShapeError>(call(zeros({9, 3, 8}, DType::f32), w, t, t, 3)) == "qk_norm_rope: x must have rank 4, got f32[9, 3, 8]");
  CHECK(message_of<DTypeError>(call(zeros({2, 9, 3, 8}, DType::i32), w, t, t, 3)) == "qk_norm_rope: x must be floating, got i32[2, 9, 3, 8]");
  CHECK(message_of<ArgumentError>(call(transpose(zeros({2, 9, 8, 3}, DType::f32), 2, 3), w, t, t, 3)) ==
        "qk_norm_rope: x must have stride 1 on its last axis, got strides [216, 24, 1, 3]");
  CHECK(message_of<ShapeError>(call(x, zeros({7}, DType::f32), t, t, 3)) == "qk_norm_rope: weight must have shape [8], got f32[7]");
  CHECK(message_of<ArgumentError>(call(x, w, t, t, -1)) == "qk_norm_rope: first must not be negative, got -1");
  CHECK(message_of<ArgumentError>(call(x, w, t, {}, 3)) == "qk_norm_rope: cos and sin must be given together");
  CHECK(message_of<ShapeError>(call(x, w, zeros({6, 4}, DType::f32), t, 3)) == "qk_norm_rope: cos must have size 8 on axis 1, got f32[6, 4]");
  CHECK(message_of<ArgumentError>(call(x, w, zeros({6, 8}, DType::bf16), t, 3)) == "qk_norm_rope: cos must be f32 or f64, got bf16[6, 8]");
  CHECK(message_of<ShapeError>(call(x, w, t, zeros({5, 8}, DType::f32), 3)) == "qk_norm_rope: sin must have shape [6, 8], got f32[5, 8]");
  CHECK(message_of<ArgumentError>(call(x, w, t, t, 2)) ==
        "qk_norm_rope: cos must have 7 rows or more (9 tokens, the first 2 not rotated), got f32[6, 8]");
  CHECK(message_of<ArgumentError>([&] { op::rope(x, {}, {}); }) == "rope: cos has no value");
  const Tensor<> odd = zeros({1, 2, 1, 3}, DType::f32), odd_table = zeros({2, 3}, DType::f32);
  CHECK(message_of<ArgumentError>([&] { op::rope(odd, odd_table, odd_table); }) == "rope: rotation needs an even head width, got 3");
}
