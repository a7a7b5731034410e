// tests/op/layout_test.cpp - moves of elements: every index, no tolerance.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/layout.hpp>

using namespace kinema;
using namespace kinema::test;

namespace {

constexpr DType all_types[] = {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32, DType::u8, DType::boolean};

/// 0, 1, 2, ... (modulo 251, so that bytes tell neighbours apart, and every type is exact).
Tensor<> counting(const Shape& shape, DType dtype) {
  return tensor_by(shape, dtype, [n = 0]() mutable { return static_cast<double>(n++ % 251); });
}

Shape random_shape(Draw& draw, int rank) {
  Shape s;
  while (s.rank() < rank) s.push_back(draw.size(s.rank() < 2 ? 40 : 5));
  return s;
}

}  // namespace

TEST_CASE("contiguous and copy_into move every element of any window", "[op][layout]") {
  Draw draw(1);
  for (int i = 0; i < 600; ++i) {
    const DType type = all_types[draw.between(0, 7)];
    const Tensor<> x = counting(random_shape(draw, static_cast<int>(draw.between(0, 6))), type), from = scattered(draw, x);
    const auto want = values_of(x);
    INFO(to_string(x) << " strides " << to_string(from.strides()));
    const Tensor<> y = op::contiguous(from);
    REQUIRE(y.is_contiguous());
    REQUIRE(first_different(values_of(y), want) == -1);
    const Tensor<> to = scattered(draw, tensor_by(x.shape(), type, [] { return 0.0; }));
    op::copy_into(to, from);
    REQUIRE(first_different(values_of(to), want) == -1);
  }
  const Tensor<> x = counting({4, 5}, DType::f32);
  REQUIRE(op::contiguous(x).id() == x.id());
}

TEST_CASE("copy_into leaves everything beside the window alone", "[op][layout]") {
  const Tensor<> all = full({7, 9}, 5, DType::f32);
  op::copy_into(narrow(narrow(all, 0, 2, 3), 1, 4, 2), counting({3, 2}, DType::f32));
  const auto v = values_of(all);
  for (std::int64_t r = 0; r < 7; ++r)
    for (std::int64_t c = 0; c < 9; ++c) {
      const bool inside = r >= 2 && r < 5 && c >= 4 && c < 6;
      REQUIRE(v[static_cast<std::size_t>(r * 9 + c)] == (inside ? static_cast<double>((r - 2) * 2 + c - 4) : 5.0));
    }
}

TEST_CASE("copy_into converts between floating types", "[op][layout]") {
  Draw draw(2);
  for (const DType from : floating_types)
    for (const DType to : floating_types) {
      const Tensor<> x = normal_tensor(draw, {3, 5, 19}, from), y = scattered(draw, zeros(x.shape(), to));
      op::copy_into(y, scattered(draw, x));
      const auto vx = values_of(x), vy = values_of(y);
      for (std::size_t i = 0; i < vx.size(); ++i) REQUIRE(std::abs(vx[i] - vy[i]) <= unit_roundoff(to) * std::abs(vx[i]));
    }
}

TEST_CASE("large copies are cut into pieces without a gap", "[op][layout]") {
  for (const Shape& s : {Shape{1, 300001}, Shape{3, 70001}, Shape{70001, 3}, Shape{257, 511}}) {
    const Tensor<> x = counting(s, DType::u8), wide = zeros({s[0], s[1] + 1}, DType::u8);
    op::copy_into(narrow(wide, 1, 1, s[1]), x);
    REQUIRE(first_different(values_of(narrow(wide, 1, 1, s[1])), values_of(x)) == -1);
    REQUIRE(first_different(values_of(op::contiguous(transpose(x, 0, 1))), values_of(transpose(x, 0, 1))) == -1);
  }
}

TEST_CASE("concat along every axis", "[op][layout]") {
  Draw draw(3);
  for (int i = 0; i < 200; ++i) {
    const int rank = static_cast<int>(draw.between(1, 4)), axis = static_cast<int>(draw.between(0, rank - 1));
    const Shape shape = random_shape(draw, rank);
    const Tensor<> a = counting(shape, DType::f32), b = counting(shape.with(axis, draw.size(9)), DType::f32), c = counting(shape.with(axis, 1), DType::f32);
    const Tensor<> y = op::concat({scattered(draw, a), b, scattered(draw, c)}, draw.coin() ? axis : axis - rank);
    INFO(to_string(y) << " axis " << axis);
    REQUIRE(y.shape() == shape.with(axis, a.size(axis) + b.size(axis) + 1));
    REQUIRE(first_different(values_of(narrow(y, axis, 0, a.size(axis))), values_of(a)) == -1);
    REQUIRE(first_different(values_of(narrow(y, axis, a.size(axis), b.size(axis))), values_of(b)) == -1);
    REQUIRE(first_different(values_of(narrow(y, axis, a.size(axis) + b.size(axis), 1)), values_of(c)) == -1);
  }
  const Tensor<> x = counting({2}, DType::f32), one = op::concat({x}, 0);
  REQUIRE(one.id() != x.id());
  REQUIRE(one.ref().data != x.ref().data);
}

TEST_CASE("patchify puts each pixel where the definition says, and unpatchify takes it back", "[op][layout]") {
  Draw draw(4);
  for (int i = 0; i < 100; ++i) {
    const std::int64_t pt = draw.between(1, 2), p = draw.between(1, 3), b = draw.between(1, 2), f = pt * draw.between(1, 3), c = draw.between(1, 5),
                       h = p * draw.between(1, 4), w = p * draw.between(1, 4);
    const DType type = draw.type();
    const Tensor<> x = tensor_by({b, f, c, h, w}, type, [&] { return static_cast<double>(draw.between(-100, 100)); });
    const Tensor<> tokens = op::patchify(draw.coin() ? scattered(draw, x) : x, pt, p, p);
    REQUIRE(tokens.shape() == (Shape{b, f / pt * (h / p) * (w / p), c * pt * p * p}));
    const auto vx = values_of(x), vt = values_of(tokens);
    std::size_t at = 0;
    for (std::int64_t ib = 0; ib < b; ++ib)
      for (std::int64_t gf = 0; gf < f / pt; ++gf)
        for (std::int64_t gh = 0; gh < h / p; ++gh)
          for (std::int64_t gw = 0; gw < w / p; ++gw)
            for (std::int64_t ic = 0; ic < c; ++ic)
              for (std::int64_t it = 0; it < pt; ++it)
                for (std::int64_t ih = 0; ih < p; ++ih)
                  for (std::int64_t iw = 0; iw < p; ++iw)
                    REQUIRE(vt[at++] == vx[static_cast<std::size_t>((((ib * f + gf * pt + it) * c + ic) * h + gh * p + ih) * w + gw * p + iw)]);
    const Tensor<> back = op::unpatchify(draw.coin() ? scattered(draw, tokens) : tokens, c, f, h, w, pt, p);
    REQUIRE(back.shape() == x.shape());
    REQUIRE(first_different(values_of(back), vx) == -1);
  }
}

TEST_CASE("patches need not be square", "[op][layout]") {
  const Tensor<> x = counting({1, 2, 3, 4, 6}, DType::f32), y = op::patchify(x, 1, 2, 3);
  REQUIRE(y.shape() == (Shape{1, 8, 18}));
  const auto v = values_of(y), vx = values_of(x);
  REQUIRE(v[18 * 3 + 6 * 1 + 3 * 1 + 2] == vx[(0 * 3 + 1) * 24 + 3 * 6 + 5]);  // patch (0, 1, 1), channel 1, row 1, column 2
}

TEST_CASE("layout operations say what does not fit", "[op][layout]") {
  const Tensor<> x = zeros({2, 3}, DType::f32);
  CHECK(message_of<ShapeError>([&] { op::copy_into(x, zeros({3, 2}, DType::f32)); }) == "copy_into: destination must have shape [3, 2], got f32[2, 3]");
  CHECK(message_of<DTypeError>([&] { op::copy_into(x, zeros({2, 3}, DType::i64)); }) == "copy_into: source must be f32, got i64[2, 3]");
  CHECK(message_of<ArgumentError>([&] { op::concat({}, 0); }) == "concat: needs one tensor or more");
  CHECK(message_of<ShapeError>([&] { op::concat({x, zeros({2, 4}, DType::f32)}, 0); }) == "concat: parts[1] must have shape [2, 3], got f32[2, 4]");
  CHECK(message_of<ShapeError>([&] { op::concat({x, zeros({2}, DType::f32)}, 0); }) == "concat: parts[1] must have rank 2, got f32[2]");
  CHECK(message_of<DTypeError>([&] { op::concat({x, zeros({2, 3}, DType::bf16)}, 0); }) == "concat: parts[1] must be f32, got bf16[2, 3]");
  CHECK(message_of<ShapeError>([&] { op::concat({x}, 2); }) == "axis 2 of a tensor of rank 2");
  CHECK(message_of<ShapeError>([&] { op::patchify(zeros({1, 1, 2, 5, 4}, DType::f32), 1, 2, 2); }) ==
        "patchify: 1 frames of 5x4 latents must divide into patches of 1x2x2");
  CHECK(message_of<ArgumentError>([&] { op::patchify(zeros({1, 1, 2, 4, 4}, DType::f32), 0, 2, 2); }) ==
        "patchify: patches must have one frame, row and column or more, got 0x2x2");
  CHECK(message_of<ShapeError>([&] { op::unpatchify(zeros({1, 4, 9}, DType::f32), 2, 1, 4, 4, 1, 2); }) == "unpatchify: tokens must have shape [1, 4, 8], got f32[1, 4, 9]");
}
