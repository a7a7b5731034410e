// tests/op/resample_test.cpp - layouts, frames and tiles: index maps are exact.
#include "support/volume.hpp"

#include <kinema/tensor/slice.hpp>

using namespace kinema;
using namespace kinema::test;

TEST_CASE("the blocked layout keeps every element, from any strides", "[op][resample]") {
  Numbers n(21);
  for (int i = 0; i < 40; ++i) {
    const std::int64_t B = n.between(1, 2), C = n.between(1, 33), T = n.between(0, 3), H = n.between(1, 5), W = n.between(1, 6);
    const Volume v = n.normal({B, C, T, H, W}, DType::bf16);
    const Tensor<> x = tensor_from(v, DType::bf16);
    CAPTURE(B, C, T, H, W);
    const Tensor<> y = op::to_blocked(x);
    REQUIRE(y.size(1) * y.size(5) == C);
    CHECK(same_bits(op::from_blocked(y), x));
    const Tensor<> swapped = op::from_blocked(op::to_blocked(transpose(x, 3, 4)));
    const Tensor<> back = op::from_blocked(op::to_blocked(transpose(swapped, 3, 4)));
    CHECK(same_bits(back, x));
    if (T == 0 || H < 2 || W < 2) continue;
    bool moved = true;
    for (std::int64_t a = 0; a < H; ++a)
      for (std::int64_t d = 0; d < W; ++d)
        moved = moved && static_cast<double>(static_cast<float>(swapped.view<bf16, 5>()(0, C - 1, T - 1, d, a))) == v(0, C - 1, T - 1, a, d);
    CHECK(moved);
  }
}

TEST_CASE("layout changes round once to the other element type", "[op][resample]") {
  Numbers n(22);
  const Volume v = n.normal({1, 8, 1, 3, 3}, DType::f64);
  const Tensor<> y = empty({1, 1, 1, 3, 3, 8}, DType::bf16);
  op::to_blocked_into(y, tensor_from(v, DType::f64));
  const std::vector<double> got = values_of(op::from_blocked(y));
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == rounded(static_cast<double>(static_cast<float>(v.v[i])), DType::bf16));
}

TEST_CASE("frames repeat, average and upsample by the parity of their number", "[op][resample]") {
  Numbers n(23);
  for (std::int64_t T = 1; T <= 9; ++T) {
    const Volume v = n.integers({1, 12, T, 2, 3}, 1000);
    const Tensor<> x = op::to_blocked(tensor_from(v, DType::f32));
    CAPTURE(T);
    CHECK(largest_difference(op::from_blocked(op::average_pairs(x)), reference::average_pairs(v)) == 0);
    const std::int64_t twice = T > 1 ? 2 * T - T % 2 : 1;
    CHECK(largest_difference(op::from_blocked(op::upsample_nearest(x, twice, 4, 6)), reference::nearest(v, twice, 4, 6)) == 0);
    CHECK(largest_difference(op::from_blocked(op::upsample_nearest(x, T, 2, 9)), reference::nearest(v, T, 2, 9)) == 0);
    const Tensor<> y = empty(x.shape().with(2, twice), DType::f32);
    op::repeat_frames_into(y, x, T % 2, 2);
    CHECK(largest_difference(op::from_blocked(y), reference::nearest(v, twice, 2, 3)) == 0);
  }
}

TEST_CASE("tiles fade by weights that sum to one", "[op][resample]") {
  Numbers n(24);
  for (const int axis : {3, 4}) {
    const Volume a = n.normal({1, 2, 2, 7, 6}, DType::f32), b = n.normal({1, 2, 2, 7, 6}, DType::f32);
    for (const std::int64_t extent : {0, 1, 4, 9}) {
      const Tensor<> ta = tensor_from(a, DType::f32), tb = tensor_from(b, DType::f32);
      op::blend_tiles_(ta, tb, axis, extent);
      const std::int64_t size = a.size[static_cast<std::size_t>(axis)], k = std::min(size, extent);
      double worst = 0;
      b.for_each([&](auto s, auto c, auto t, auto i, auto j) {
        const std::int64_t at = axis == 3 ? i : j;
        double want = b(s, c, t, i, j);
        if (at < k) {
          const double w = static_cast<double>(at) / static_cast<double>(k);
          want = (axis == 3 ? a(s, c, t, size - k + i, j) : a(s, c, t, i, size - k + j)) * (1 - w) + want * w;
        }
        worst = std::max(worst, std::abs(want - static_cast<double>(tb.view<float, 5>()(s, c, t, i, j))));
      });
      CAPTURE(axis, extent);
      CHECK(worst <= 4e-7);
    }
    // where both tiles agree, blending returns their value to one unit in the last place
    const Tensor<> same = full({1, 2, 2, 7, 6}, 0.7, DType::f32), other = full({1, 2, 2, 7, 6}, 0.7, DType::f32);
    op::blend_tiles_(same, other, axis, 5);
    for (const double v : values_of(other)) CHECK(std::abs(v - static_cast<double>(0.7f)) <= 0x1p-24);
  }
}

TEST_CASE("a Gaussian is sampled with its log variance clamped", "[op][resample]") {
  const Tensor<> moments = tensor_from(std::vector<double>{1, 2, 3, 0, 50, -80}, {1, 6, 1, 1, 1}, DType::f64);
  const Tensor<> noise = tensor_from(std::vector<double>{0.5, 1, 1}, {1, 3, 1, 1, 1}, DType::f64);
  const std::vector<double> y = values_of(op::sample_gaussian(moments, noise));
  CHECK(y[0] == Approx(1.5));
  CHECK(y[1] == Approx(2 + std::exp(10.0)));
  CHECK(y[2] - 3 == Approx(std::exp(-15.0)).epsilon(1e-6));
}

TEST_CASE("resampling explains what it cannot take", "[op][resample]") {
  const Tensor<> x = zeros({1, 1, 2, 4, 4, 8}, DType::f32);
  CHECK(message_of<ShapeError>([&] { op::upsample_nearest(x, 2, 6, 8); }).find("upsample_nearest: 2x6x8 is not a whole multiple of") == 0);
  CHECK(message_of<ShapeError>([&] { op::upsample_nearest(x, 5, 8, 8); }) == "(nothing thrown)");
  CHECK(message_of<ShapeError>([&] { op::repeat_frames_into(empty({1, 1, 5, 4, 4, 8}, DType::f32), x, 0, 2); }).find("5 frames need 3 source frames") != std::string::npos);
  CHECK(message_of<ShapeError>([&] { op::sample_gaussian(zeros({1, 4, 1, 1, 1}, DType::f32), zeros({1, 3, 1, 1, 1}, DType::f32)); }) ==
        "sample_gaussian: noise must have shape [1, 2, 1, 1, 1], got f32[1, 3, 1, 1, 1]");
  CHECK(message_of<ArgumentError>([&] { const Tensor<> t = zeros({1, 1, 1, 2, 2}, DType::f32); op::blend_tiles_(t, t, 2, 1); }) == "blend_tiles: axis must be 3 or 4, got 2");
}
