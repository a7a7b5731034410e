// tests/op/norm_test.cpp - normalisations against their definition in double.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/reference/dense.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/norm.hpp>

#include <limits>

using namespace kinema;
using namespace kinema::test;

namespace {

constexpr double eps = 1e-5;

/// A window or the tensor itself; now and then with its last axis strided too.
Tensor<> maybe_scattered(Draw& draw, const Tensor<>& x) { return draw.coin() ? scattered(draw, x, draw.between(0, 3) > 0) : x; }

/// Runs that cover `rows`: some empty, groups in any order.
Tensor<> random_runs(Draw& draw, std::int64_t rows, std::int64_t groups) {
  std::vector<std::int64_t> run;
  std::int64_t end = 0, count = 0;
  do {
    end = draw.between(0, 3) == 0 ? end : draw.between(end, rows);
    if (++count == 4) end = rows;
    run.push_back(end);
    run.push_back(draw.between(0, groups - 1));
  } while (end < rows);
  return tensor_of(run, {static_cast<std::int64_t>(run.size()) / 2, 2});
}
std::int64_t group_of(const Tensor<>& runs, std::int64_t row) {
  const auto run = runs.view<const std::int64_t, 2>();
  std::int64_t r = 0;
  while (run(r, 0) <= row) ++r;
  return run(r, 1);
}

/// Errors of a normalised value n = (x - mean) rstd: the sums' share, and what cancellation in x - mean makes of the mean's.
double normalised_tolerance(DType type, std::int64_t c, double largest, double mean, double rstd) {
  const double u = compute_roundoff(type), chain = sum_factor(c / 16 + 8);
  return chain * u * (2 * std::abs(mean) + 2 * largest) * rstd + 6 * u * largest * rstd;
}

struct Rows {
  std::int64_t a, r, c;
};
Rows random_rows(Draw& draw) { return {draw.between(1, 3), draw.size(20), draw.size()}; }

}  // namespace

TEST_CASE("layer norm, plain and modulated, agrees with its definition", "[op][norm]") {
  Draw draw(1);
  for (int i = 0; i < 600; ++i) {
    const auto [a, r, c] = random_rows(draw);
    const DType type = draw.type(), weight_type = draw.type();
    const bool affine = draw.coin(), modulated = draw.coin();
    const std::int64_t groups = draw.between(1, 3);
    const double offset = draw.coin() ? 0 : 3;
    const Tensor<> x = normal_tensor(draw, {a, r, c}, type, 2, offset);
    const Tensor<> w = affine ? normal_tensor(draw, {c}, weight_type) : Tensor<>{}, b = affine ? normal_tensor(draw, {c}, weight_type) : Tensor<>{};
    const DType table_type = draw.type();
    const Tensor<> shift = normal_tensor(draw, {a, groups, c}, table_type), scale = normal_tensor(draw, {a, groups, c}, table_type);
    const Tensor<> runs = random_runs(draw, r, groups), from = maybe_scattered(draw, x);
    const Tensor<> y = modulated ? op::ada_layer_norm(from, w, b, maybe_scattered(draw, shift), maybe_scattered(draw, scale), runs, eps)
                                 : op::layer_norm(from, w, b, eps);
    INFO(to_string(x) << " weights " << name_of(weight_type) << (affine ? " affine" : "") << (modulated ? " modulated by " : " ") << name_of(table_type));
    REQUIRE(y.shape() == x.shape());
    REQUIRE(y.dtype() == type);
    const auto vx = values_of(x), vy = values_of(y), vw = affine ? values_of(w) : std::vector<double>(static_cast<std::size_t>(c), 1.0),
               vb = affine ? values_of(b) : std::vector<double>(static_cast<std::size_t>(c)), vs = values_of(scale), vh = values_of(shift);
    for (std::int64_t row = 0; row < a * r; ++row) {
      const double* p = vx.data() + row * c;
      const auto [mean, rstd] = reference::moments(p, c, eps);
      double largest = 0;
      for (std::int64_t k = 0; k < c; ++k) largest = std::max(largest, std::abs(p[k]));
      const std::int64_t g = (row / r * groups + group_of(runs, row % r)) * c;
      for (std::int64_t k = 0; k < c; ++k) {
        const std::size_t at = static_cast<std::size_t>(k), table = static_cast<std::size_t>(g + k);
        const double by = modulated ? 1 + vs[table] : 1, n = (p[k] - mean) * rstd;
        const double factor = vw[at] * by, add = vb[at] * by + (modulated ? vh[table] : 0), want = n * factor + add;
        const double magnitude = std::abs(n * factor) + std::abs(vb[at] * by) + (modulated ? std::abs(vh[table]) : 0) + std::abs(vw[at] * n);
        const double tolerance = normalised_tolerance(type, c, largest, mean, rstd) * (std::abs(factor) + std::abs(vw[at])) +
                                 pointwise_tolerance(type, 6, magnitude, want);
        const double got = vy[static_cast<std::size_t>(row * c + k)];
        if (!(std::abs(got - want) <= tolerance)) FAIL("row " << row << " channel " << k << ": " << got << " for " << want << " +- " << tolerance);
      }
    }
    SUCCEED();
  }
}

TEST_CASE("rms norm agrees with its definition, with both of its roundings", "[op][norm]") {
  Draw draw(2);
  for (int i = 0; i < 300; ++i) {
    const auto [a, r, c] = random_rows(draw);
    const DType type = draw.type();
    const Tensor<> x = normal_tensor(draw, {a, r, c}, type, 2), w = normal_tensor(draw, {c}, draw.type());
    const Tensor<> y = op::rms_norm(maybe_scattered(draw, x), w, 1e-6);
    INFO(to_string(x));
    REQUIRE(y.shape() == x.shape());
    const auto vx = values_of(x), vy = values_of(y), vw = values_of(w);
    for (std::int64_t row = 0; row < a * r; ++row) {
      double squares = 0;
      for (std::int64_t k = 0; k < c; ++k) squares += vx[static_cast<std::size_t>(row * c + k)] * vx[static_cast<std::size_t>(row * c + k)];
      const double rstd = 1 / std::sqrt(squares / static_cast<double>(c) + 1e-6);
      for (std::int64_t k = 0; k < c; ++k) {
        const double n = vx[static_cast<std::size_t>(row * c + k)] * rstd, want = n * vw[static_cast<std::size_t>(k)];
        const double tolerance = pointwise_tolerance(type, sum_factor(c / 16 + 8), std::abs(want), want) + 1.02 * unit_roundoff(type) * std::abs(want) +
                                 smallest_step(type) * (1 + std::abs(vw[static_cast<std::size_t>(k)]));
        const double got = vy[static_cast<std::size_t>(row * c + k)];
        if (!(std::abs(got - want) <= tolerance)) FAIL("row " << row << " channel " << k << ": " << got << " for " << want << " +- " << tolerance);
      }
    }
    SUCCEED();
  }
}

TEST_CASE("rms norm rounds to the type of x before the weight", "[op][norm]") {
  // 1/sqrt(mean) is 1 for this row; 1.00390625 * 1.0078125 in bf16 shows whether the first factor was kept in f32
  const Tensor<> x = tensor_by({1, 4}, DType::bf16, [n = 0]() mutable { return n++ % 2 == 0 ? 1.0 : 0.75; }), w = full({4}, 1.5, DType::f32);
  const double rstd = 1 / std::sqrt((1 + 0.5625) / 2 + 1e-6);
  const auto twice = [&](double v) { return double(float(bf16(float(bf16(float(v * rstd))) * 1.5f))); };
  const auto once = [&](double v) { return double(float(bf16(float(v * rstd * 1.5)))); };
  REQUIRE(twice(1.0) != once(1.0));  // the case tells the two apart
  REQUIRE(first_different(values_of(op::rms_norm(x, w, 1e-6)), {twice(1), twice(0.75), twice(1), twice(0.75)}) == -1);
}

TEST_CASE("norms of any rank, of one channel, of nothing", "[op][norm]") {
  Draw draw(3);
  const Tensor<> x = normal_tensor(draw, {2, 3, 2, 5, 7}, DType::f32);
  REQUIRE(first_different(values_of(op::layer_norm(x)), values_of(op::layer_norm(reshape(x, {60, 7})))) == -1);
  REQUIRE(op::layer_norm(x).shape() == x.shape());
  REQUIRE(op::layer_norm(select(x, 0, 0)).shape() == (Shape{3, 2, 5, 7}));
  REQUIRE(first_different(values_of(op::layer_norm(permute(x, {4, 3, 2, 1, 0}))), values_of(op::layer_norm(op::contiguous(permute(x, {4, 3, 2, 1, 0}))))) == -1);
  REQUIRE(op::layer_norm(zeros({4, 0}, DType::f32)).shape() == (Shape{4, 0}));
  REQUIRE(op::rms_norm(zeros({0, 4}, DType::bf16), zeros({4}, DType::f32)).shape() == (Shape{0, 4}));
  REQUIRE(first_different(values_of(op::layer_norm(full({3, 1}, 7, DType::f16))), {0, 0, 0}) == -1);
  REQUIRE(first_different(values_of(op::layer_norm(full({5}, 1e4, DType::f32))), {0, 0, 0, 0, 0}) == -1);
}

TEST_CASE("a large mean does not swamp the variance", "[op][norm]") {
  std::int64_t n = 0;
  const Tensor<> x = tensor_by({1, 64}, DType::f32, [&] { return 16384.0 + static_cast<double>(n++ % 2); });
  const double want = 0.5 / std::sqrt(0.25 + eps);
  for (const double v : values_of(op::layer_norm(x, {}, {}, eps))) REQUIRE(std::abs(std::abs(v) - want) < 1e-6);
}

TEST_CASE("NaN stays in its row", "[op][norm]") {
  Draw draw(4);
  Tensor<> x = normal_tensor(draw, {3, 40}, DType::f32);
  x.data<float>()[45] = std::numeric_limits<float>::quiet_NaN();
  const auto y = values_of(op::layer_norm(x));
  for (std::size_t i = 0; i < 120; ++i) REQUIRE((y[i] != y[i]) == (i / 40 == 1));
}

TEST_CASE("norms have the same bits for any number of threads", "[op][norm]") {
  Draw draw(5);
  for (const DType type : floating_types) {
    const Tensor<> x = normal_tensor(draw, {2, 150, 333}, type), w = normal_tensor(draw, {333}, type), t = normal_tensor(draw, {2, 2, 333}, type);
    const Tensor<> runs = tensor_of(std::vector<std::int64_t>{31, 1, 150, 0}, {2, 2});
    REQUIRE(same_for_any_threads([&] { return op::layer_norm(x, w, w); }));
    REQUIRE(same_for_any_threads([&] { return op::rms_norm(x, w); }));
    REQUIRE(same_for_any_threads([&] { return op::ada_layer_norm(x, w, w, t, t, runs); }));
  }
}

TEST_CASE("norms say what does not fit", "[op][norm]") {
  const Tensor<> x = zeros({1, 6, 4}, DType::f32), t = zeros({1, 2, 4}, DType::f32), v = zeros({4}, DType::f32);
  const auto runs = [](std::vector<std::int64_t> r) { return tensor_of(r, {static_cast<std::int64_t>(r.size()) / 2, 2}); };
  const auto ada = [&](const Tensor<>& shift, const Tensor<>& scale, const Tensor<>& r) { return [=] { op::ada_layer_norm(x, v, v, shift, scale, r); }; };
  CHECK(message_of<ShapeError>([&] { op::layer_norm(x, zeros({5}, DType::f32)); }) == "layer_norm: weight must have shape [4], got f32[5]");
  CHECK(message_of<DTypeError>([&] { op::layer_norm(zeros({3}, DType::i32)); }) == "layer_norm: x must be floating, got i32[3]");
  CHECK(message_of<ArgumentError>([&] { op::rms_norm(x, {}); }) == "rms_norm: weight has no value");
  CHECK(message_of<ShapeError>(ada(zeros({2, 2, 4}, DType::f32), t, runs({6, 0}))) == "ada_layer_norm: shift must have shape [1, 2, 4], got f32[2, 2, 4]");
  CHECK(message_of<ShapeError>(ada(t, zeros({1, 3, 4}, DType::f32), runs({6, 0}))) == "ada_layer_norm: scale must have shape [1, 2, 4], got f32[1, 3, 4]");
  CHECK(message_of<ArgumentError>(ada(t, t, runs({5, 0}))) == "ada_layer_norm: the last run must end at row 6, got 5");
  CHECK(message_of<ArgumentError>(ada(t, t, runs({4, 0, 3, 1, 6, 0}))) == "ada_layer_norm: the ends of runs must ascend, got 3 after 4");
  CHECK(message_of<ArgumentError>(ada(t, t, runs({6, 2}))) == "ada_layer_norm: run 0 must name a group below 2, got 2");
  CHECK(message_of<ArgumentError>(ada(t, t, runs({6, -1}))) == "ada_layer_norm: run 0 must name a group below 2, got -1");
  CHECK(message_of<DTypeError>(ada(t, t, zeros({1, 2}, DType::i32))) == "ada_layer_norm: runs must be i64, got i32[1, 2]");
  CHECK(message_of<ShapeError>(ada(t, t, zeros({1, 3}, DType::i64))) == "ada_layer_norm: runs must have size 2 on axis 1, got i64[1, 3]");
}
