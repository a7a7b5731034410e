// tests/op/elementwise_test.cpp - pointwise operations against their definition in double.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/reference/dense.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/elementwise.hpp>

#include <limits>

using namespace kinema;
using namespace kinema::test;
using kernel::Activation;

namespace {

constexpr Activation activations[] = {Activation::silu, Activation::gelu_tanh, Activation::gelu, Activation::gelu_sigmoid, Activation::relu, Activation::mish};

Shape random_shape(Draw& draw) {
  Shape s;
  for (std::int64_t i = draw.between(0, 4); i > 0; --i) s.push_back(draw.size(s.rank() == 0 ? 70 : 9));
  return s;
}
Tensor<> maybe_scattered(Draw& draw, const Tensor<>& x) { return draw.coin() ? scattered(draw, x) : x; }

/// `got` element by element against f(inputs), with `steps` roundings of magnitude(inputs).
void check(const Tensor<>& got, DType type, const std::vector<double>& want, double steps, const std::function<double(std::size_t)>& magnitude) {
  REQUIRE(got.dtype() == type);
  REQUIRE(got.is_contiguous());
  const auto values = values_of(got);
  const std::int64_t wrong = first_wrong(values, want, [&](std::size_t i) { return pointwise_tolerance(type, steps, magnitude(i), want[i]); });
  if (wrong >= 0) FAIL("element " << wrong << ": " << values[static_cast<std::size_t>(wrong)] << " for " << want[static_cast<std::size_t>(wrong)]);
  SUCCEED();
}

std::vector<double> map(const std::vector<double>& x, const std::function<double(double)>& f) {
  std::vector<double> y;
  for (const double v : x) y.push_back(f(v));
  return y;
}

}  // namespace

TEST_CASE("activations agree with their formulas", "[op][elementwise]") {
  Draw draw(1);
  for (int i = 0; i < 400; ++i) {
    const DType type = draw.type();
    const Activation a = activations[draw.between(0, 5)];
    const Tensor<> x = normal_tensor(draw, random_shape(draw), type, draw.coin() ? 1 : 10);
    INFO(name_of(a) << " " << to_string(x));
    const auto v = values_of(x);
    check(op::activate(maybe_scattered(draw, x), a), type, map(v, [&](double u) { return reference::activation(a, u); }), 8,
          [&](std::size_t k) { return std::abs(v[k]); });
  }
}

TEST_CASE("sigmoid-shaped activations keep their relative accuracy for negative x", "[op][elementwise]") {
  std::vector<float> x;
  for (float v = -12; v < 12; v += 0.0007f) x.push_back(v);
  const Tensor<> t = tensor_of(x, {static_cast<std::int64_t>(x.size())});
  for (const Activation a : {Activation::silu, Activation::gelu_tanh, Activation::gelu_sigmoid, Activation::mish}) {
    const auto got = values_of(op::activate(t, a));
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double v = x[i], u = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
      const double exact = a == Activation::gelu_tanh ? v / (1 + std::exp(-2 * u)) : reference::activation(a, v);  // without its cancellation
      if (std::abs(exact) < 1e-30) continue;
      // the exponent's own rounding error is |u| u; everything else is a handful of roundings
      worst = std::max(worst, std::abs(got[i] - exact) / std::abs(exact) / (8 + 4 * std::abs(a == Activation::gelu_tanh ? 2 * u : 1.7 * v)));
    }
    INFO(name_of(a));
    CHECK(worst < 0x1p-24);
  }
}

TEST_CASE("activations of what is not a usual number", "[op][elementwise]") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const DType type : floating_types)
    for (const Activation a : activations) {
      INFO(name_of(type) << " " << name_of(a));
      const double large = type == DType::f16 ? 6e4 : 1e30;
      for (const std::int64_t n : {1, 17}) {  // a tail, and whole batches
        const auto of = [&](double v) { return values_of(op::activate(full({n}, v, type), a)).front(); };
        CHECK(std::isnan(of(nan)));
        CHECK(of(inf) == inf);
        CHECK(of(large) == values_of(full({1}, large, type)).front());
        CHECK(of(-large) == 0);
        CHECK(of(0) == 0);
      }
    }
}

TEST_CASE("scale, clamp, cast", "[op][elementwise]") {
  Draw draw(2);
  for (int i = 0; i < 200; ++i) {
    const DType type = draw.type();
    const Tensor<> x = normal_tensor(draw, random_shape(draw), type, 3), from = maybe_scattered(draw, x);
    INFO(to_string(x));
    const auto v = values_of(x);
    check(op::scale(from, 0.7), type, map(v, [](double u) { return u * 0.7; }), 2, [&](std::size_t k) { return std::abs(v[k]); });
    check(op::clamp(from, -1, 2), type, map(v, [](double u) { return u < -1 ? -1 : u > 2 ? 2 : u; }), 0, [](std::size_t) { return 0.0; });
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const DType type : floating_types)
    for (const std::int64_t n : {1, 33}) {
      CHECK(std::isnan(values_of(op::clamp(full({n}, nan, type), -1, 1)).back()));
      CHECK(values_of(op::clamp(full({n}, std::numeric_limits<double>::infinity(), type), -1, 1)).back() == 1);
      CHECK(values_of(op::clamp(full({n}, -std::numeric_limits<double>::infinity(), type), -1, 1)).back() == -1);
    }
}

TEST_CASE("cast rounds once, to nearest even, for every pair of types", "[op][elementwise]") {
  Draw draw(3);
  for (const DType from : floating_types)
    for (const DType to : floating_types) {
      const Tensor<> x = normal_tensor(draw, {3, 37}, from, 2);
      for (const Tensor<>& t : {x, scattered(draw, x)}) {
        const Tensor<> y = op::cast(t, to);
        REQUIRE(y.dtype() == to);
        const auto vx = values_of(x), vy = values_of(y);
        for (std::size_t i = 0; i < vx.size(); ++i) REQUIRE(std::abs(vy[i] - vx[i]) <= unit_roundoff(to) * std::abs(vx[i]));
      }
      if (from == to) REQUIRE(op::cast(x, to).id() == x.id());
    }
  // Just above half way between two bf16 (f16), but half way exactly once it is a float: through a float it would go down.
  const auto once = [](double v, DType t) { return values_of(op::cast(full({1}, v, DType::f64), t)).front(); };
  REQUIRE(once(1 + 0x1p-8 + 0x1p-40, DType::bf16) == 1 + 0x1p-7);
  REQUIRE(once(1 + 0x1p-8 - 0x1p-40, DType::bf16) == 1);
  REQUIRE(once(-1 - 0x1p-8 - 0x1p-40, DType::bf16) == -1 - 0x1p-7);
  REQUIRE(once(1 + 0x1p-11 + 0x1p-40, DType::f16) == 1 + 0x1p-10);
  REQUIRE(once(0x1p-24 * 1.5 + 0x1p-70, DType::f16) == 0x1p-23);
  REQUIRE(once(1e300, DType::bf16) == std::numeric_limits<double>::infinity());
  REQUIRE(once(0x1p-24, DType::f16) == 0x1p-24);
  REQUIRE(std::isnan(once(std::numeric_limits<double>::quiet_NaN(), DType::bf16)));
}

TEST_CASE("add, sub and mul broadcast over any strides", "[op][elementwise]") {
  Draw draw(4);
  for (int i = 0; i < 500; ++i) {
    const DType type = draw.type();
    const Shape shape = random_shape(draw);
    const auto partner = [&] {
      Shape s;
      const int dropped = shape.rank() > 0 ? static_cast<int>(draw.between(0, shape.rank())) : 0;
      for (int a = dropped; a < shape.rank(); ++a) s.push_back(draw.between(0, 2) == 0 ? 1 : shape[a]);
      return s;
    };
    Tensor<> a = normal_tensor(draw, draw.coin() ? shape : partner(), type), b = normal_tensor(draw, partner(), type);
    if (draw.coin()) std::swap(a, b);
    const Shape out = broadcast(a.shape(), b.shape());
    const auto va = values_of(expand(a, out)), vb = values_of(expand(b, out));
    const Tensor<> sa = maybe_scattered(draw, a), sb = maybe_scattered(draw, b);
    std::vector<double> sum, difference, product;
    for (std::size_t k = 0; k < va.size(); ++k) sum.push_back(va[k] + vb[k]), difference.push_back(va[k] - vb[k]), product.push_back(va[k] * vb[k]);
    INFO(to_string(a) << " and " << to_string(b));
    REQUIRE(op::add(sa, sb).shape() == out);
    check(op::add(sa, sb), type, sum, 1, [&](std::size_t k) { return std::abs(sum[k]); });
    check(op::sub(sa, sb), type, difference, 1, [&](std::size_t k) { return std::abs(difference[k]); });
    check(op::mul(sa, sb), type, product, 1, [&](std::size_t k) { return std::abs(product[k]); });
  }
}

TEST_CASE("combine sums in f64 and rounds once", "[op][elementwise]") {
  Draw draw(5);
  for (int i = 0; i < 200; ++i) {
    const DType type = draw.type();
    const Shape shape = random_shape(draw);
    const Tensor<> a = normal_tensor(draw, shape, type), b = normal_tensor(draw, shape, draw.type()), c = normal_tensor(draw, shape, draw.type()), d = normal_tensor(draw, shape, draw.type());
    const auto va = values_of(a), vb = values_of(b), vc = values_of(c), vd = values_of(d);
    std::vector<double> two, four;
    for (std::size_t k = 0; k < va.size(); ++k) two.push_back(7 * va[k] - 6 * vb[k]), four.push_back(0.3 * va[k] - 1.7 * vb[k] + 2.5 * vc[k] + vd[k]);
    const auto magnitude = [&](std::size_t k) { return 1e-8 * (7 * std::abs(va[k]) + 6 * std::abs(vb[k]) + 3 * std::abs(vc[k]) + std::abs(vd[k])); };
    check(op::combine({7, -6}, {maybe_scattered(draw, a), maybe_scattered(draw, b)}), type, two, type == DType::f64 ? 1e9 : 1, magnitude);
    check(op::combine({0.3, -1.7, 2.5, 1}, {a, b, maybe_scattered(draw, c), d}), type, four, type == DType::f64 ? 1e9 : 1, magnitude);
    check(op::combine({1}, {a}), type, va, 0, [](std::size_t) { return 0.0; });
  }
  // f32 products would lose the small term
  REQUIRE(values_of(op::combine({1e8, -1e8, 1}, {full({3}, 1, DType::f32), full({3}, 1, DType::f32), full({3}, 0.25, DType::f32)})).front() == 0.25);
}

TEST_CASE("gate residual takes each row's gate from its run", "[op][elementwise]") {
  Draw draw(6);
  for (int i = 0; i < 200; ++i) {
    const DType type = draw.type();
    const std::int64_t b = draw.between(1, 3), c = draw.size(), groups = 2, cut = draw.size(30), s = cut + draw.size(30);
    const Tensor<> r = normal_tensor(draw, {b, s, c}, type), x = normal_tensor(draw, {b, s, c}, type), g = normal_tensor(draw, {b, groups, c}, draw.type());
    const Tensor<> runs = tensor_of(std::vector<std::int64_t>{cut, 1, s, 0}, {2, 2});
    const auto vr = values_of(r), vx = values_of(x), vg = values_of(g);
    std::vector<double> want(vr.size());
    for (std::int64_t k = 0; k < b * s * c; ++k) {
      const std::int64_t row = k / c % s, at = (k / c / s * groups + (row < cut ? 1 : 0)) * c + k % c;
      want[static_cast<std::size_t>(k)] = vr[static_cast<std::size_t>(k)] + vg[static_cast<std::size_t>(at)] * vx[static_cast<std::size_t>(k)];
    }
    const auto magnitude = [&](std::size_t k) { return std::abs(vr[k]) + std::abs(want[k] - vr[k]); };
    INFO(to_string(r) << " gates " << name_of(g.dtype()));
    check(op::gate_residual(maybe_scattered(draw, r), maybe_scattered(draw, x), maybe_scattered(draw, g), runs), type, want, 2, magnitude);
    const Tensor<> in_place = op::scale(r, 1);
    const void* where = in_place.ref().data;
    op::gate_residual_(in_place, x, g, runs);
    REQUIRE(in_place.ref().data == where);
    check(in_place, type, want, 2, magnitude);
    REQUIRE(first_different(values_of(r), vr) == -1);  // inputs are never written
  }
}

TEST_CASE("pointwise operations have the same bits for any number of threads", "[op][elementwise]") {
  Draw draw(7);
  for (const DType type : floating_types) {
    const Tensor<> x = normal_tensor(draw, {2, 301, 177}, type), row = normal_tensor(draw, {177}, type), gate = normal_tensor(draw, {2, 1, 177}, type);
    const Tensor<> runs = tensor_of(std::vector<std::int64_t>{301, 0}, {1, 2});
    REQUIRE(same_for_any_threads([&] { return op::gelu_tanh(x); }));
    REQUIRE(same_for_any_threads([&] { return op::add(x, row); }));
    REQUIRE(same_for_any_threads([&] { return op::combine({0.3, 0.7}, {x, x}); }));
    REQUIRE(same_for_any_threads([&] { return op::gate_residual(x, x, gate, runs); }));
    REQUIRE(same_for_any_threads([&] { return op::cast(x, type == DType::f32 ? DType::bf16 : DType::f32); }));
  }
}

TEST_CASE("pointwise operations say what does not fit", "[op][elementwise]") {
  const Tensor<> x = zeros({2, 3}, DType::f32), r = zeros({1, 4, 3}, DType::f32), g = zeros({1, 1, 3}, DType::f32);
  const Tensor<> runs = tensor_of(std::vector<std::int64_t>{4, 0}, {1, 2});
  CHECK(message_of<DTypeError>([&] { op::silu(zeros({2}, DType::i64)); }) == "activate: x must be floating, got i64[2]");
  CHECK(message_of<ArgumentError>([&] { op::clamp(x, 1, 0); }) == "clamp: low must not exceed high, got 1 and 0");
  CHECK(message_of<DTypeError>([&] { op::cast(x, DType::u8); }) == "cast: the result must be floating, got u8");
  CHECK(message_of<DTypeError>([&] { op::cast(zeros({2}, DType::u8), DType::f32); }) == "cast: x must be floating, got u8[2]");
  CHECK(message_of<DTypeError>([&] { op::add(x, zeros({3}, DType::bf16)); }) == "add: b must be f32, got bf16[3]");
  CHECK(message_of<ShapeError>([&] { op::mul(x, zeros({2}, DType::f32)); }) == "shapes [2, 3] and [2] do not broadcast");
  CHECK(message_of<ArgumentError>([&] { op::combine({1, 2}, {x}); }) == "combine: needs one coefficient per tensor, got 2 for 1");
  CHECK(message_of<ArgumentError>([&] { op::combine({1, 2, 3, 4, 5}, {x, x, x, x, x}); }) == "combine: takes 1 to 4 tensors, got 5");
  CHECK(message_of<ShapeError>([&] { op::combine({1, 2}, {x, zeros({3}, DType::f32)}); }) == "combine: x must have shape [2, 3], got f32[3]");
  CHECK(message_of<ArgumentError>([&] { op::combine({1}, {Tensor<>{}}); }) == "combine: x has no value");
  CHECK(message_of<ShapeError>([&] { op::gate_residual(r, x, g, runs); }) == "gate_residual: x must have shape [1, 4, 3], got f32[2, 3]");
  CHECK(message_of<ShapeError>([&] { op::gate_residual(r, r, zeros({2, 1, 3}, DType::f32), runs); }) == "gate_residual: gate must have shape [1, 1, 3], got f32[2, 1, 3]");
  CHECK(message_of<ArgumentError>([&] { op::gate_residual(r, r, g, tensor_of(std::vector<std::int64_t>{3, 0}, {1, 2})); }) == "gate_residual: the last run must end at row 4, got 3");
  CHECK(message_of<ShapeError>([&] { op::gate_residual_(permute(zeros({1, 3, 4}, DType::f32), {0, 2, 1}), r, g, runs); }) ==
        "gate_residual: residual must be contiguous, got f32[1, 4, 3]");
}
