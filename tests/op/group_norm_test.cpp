// tests/op/group_norm_test.cpp - group norm, its maps and its activation against their definition in double.
#include "support/volume.hpp"

#include <kinema/op/conv.hpp>
#include <kinema/op/group_norm.hpp>

using namespace kinema;
using namespace kinema::test;

TEST_CASE("group norm agrees with its definition", "[op][group_norm]") {
  Numbers n(11);
  for (int i = 0; i < 100; ++i) {
    static constexpr DType types[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
    const DType dtype = i % 2 == 0 ? DType::f32 : types[i / 2 % 4];
    const std::int64_t groups = n.between(1, 5), C = groups * n.between(1, 9), t = n.between(1, 3), h = n.between(1, 4), w = n.between(1, 5);
    const bool maps = n.between(0, 1) == 1, silu = n.between(0, 1) == 1;
    const std::int64_t up = std::int64_t{1} << n.between(0, 3);
    std::int64_t T = t;
    if (maps && t > 1) T = n.between(0, 1) == 1 ? 2 * t - t % 2 : t;
    const std::int64_t H = maps ? h * up : h * 3, W = maps ? w * up : w * n.between(1, 40);
    CAPTURE(i, to_string(dtype), groups, C, T, H, W, t, maps, silu);
    const double offset = i % 5 == 0 ? 100.0 : 0.0;  // a large mean must cost no digits
    Volume x = n.normal({2, C, T, H, W}, dtype);
    for (double& v : x.v) v = rounded(v + offset, dtype);
    const std::vector<double> weight = n.normal(C, DType::f32), bias = n.normal(C, DType::f32);
    const Volume scale = n.normal({2, C, t, h, w}, dtype), shift = n.normal({2, C, t, h, w}, dtype);
    const Volume full_scale = reference::nearest(scale, T, H, W), full_shift = reference::nearest(shift, T, H, W);
    const Volume want = reference::group_norm(x, weight, bias, groups, 1e-6, maps ? &full_scale : nullptr, &full_shift, silu);
    op::GroupNormOptions o;
    o.groups = groups;
    o.activation = silu ? kernel::Activation::silu : kernel::Activation::none;
    if (maps) o.scale = op::to_blocked(tensor_from(scale, dtype)), o.shift = op::to_blocked(tensor_from(shift, dtype));
    const Tensor<> y = op::from_blocked(op::group_norm(op::to_blocked(tensor_from(x, dtype)), tensor_from(weight, {C}, DType::f32), tensor_from(bias, {C}, DType::f32), o));
    double largest = 1;
    for (const double v : want.v) largest = std::max(largest, std::abs(v));
    // one multiply-add on values of size |x| rstd: a mean far from zero cancels there, as in any norm
    const double u = dtype == DType::f64 ? 1e-13 : 12 * roundoff(DType::f32);  // in f64 the reference's plain sums are no better
    CHECK(largest_difference(y, want) <= 1.01 * roundoff(dtype) * largest + u * largest * (1 + offset));
  }
}

TEST_CASE("group norm writes into the inside of a convolution's input", "[op][group_norm]") {
  Numbers n(12);
  const Tensor<> x = op::to_blocked(tensor_from(n.normal({1, 16, 2, 4, 6}, DType::f32), DType::f32));
  const Tensor<> w = full({16}, 1, DType::f32), b = full({16}, 0, DType::f32);
  const op::ConvInput in = op::conv_input(x.shape(), DType::f32, Device::cpu(), 2, op::Padding::all(1));
  op::group_norm_into(in.inside, x, w, b, {.groups = 4});
  const Tensor<> dense = empty(x.shape(), DType::f32);
  op::repeat_frames_into(dense, in.inside, 0, 1);
  CHECK(same_bits(dense, op::group_norm(x, w, b, {.groups = 4})));
}

TEST_CASE("group norm has the same bits for every number of threads", "[op][group_norm]") {
  Numbers n(13);
  const Tensor<> x = op::to_blocked(tensor_from(n.normal({2, 40, 3, 31, 67}, DType::f32), DType::f32));
  const Tensor<> w = tensor_from(n.normal(40, DType::f32), {40}, DType::f32), b = tensor_from(n.normal(40, DType::f32), {40}, DType::f32);
  require_thread_independence([&] { return op::group_norm(x, w, b, {.groups = 8, .activation = kernel::Activation::silu}); });
}

TEST_CASE("group norm keeps to the statistics of constant inputs", "[op][group_norm]") {
  const Tensor<> x = full({1, 2, 1, 3, 3, 8}, 3.5, DType::f32), w = full({16}, 2, DType::f32), b = full({16}, 0.25, DType::f32);
  for (const double v : values_of(op::group_norm(x, w, b, {.groups = 4}))) CHECK(v == 0.25);
}

TEST_CASE("group norm explains what it cannot take", "[op][group_norm]") {
  const Tensor<> x = zeros({1, 2, 3, 4, 4, 8}, DType::f32), w = zeros({16}, DType::f32);
  CHECK(message_of<ArgumentError>([&] { op::group_norm(x, w, w, {.groups = 5}); }) == "group_norm: groups must divide the channels, got 5 and 16");
  CHECK(message_of<ShapeError>([&] { op::group_norm(x, zeros({8}, DType::f32), w, {.groups = 4}); }) == "group_norm: weight must have shape [16], got f32[8]");
  CHECK(message_of<ArgumentError>([&] { op::group_norm(x, w, w, {.groups = 4, .activation = kernel::Activation::gelu}); }) == "group_norm: activation must be none or silu");
  CHECK(message_of<ArgumentError>([&] { op::group_norm(x, w, w, {.groups = 4, .scale = x}); }) == "group_norm: scale and shift must be given together");
  const Tensor<> maps = zeros({1, 2, 3, 3, 4, 8}, DType::f32);
  CHECK(message_of<ShapeError>([&] { op::group_norm(x, w, w, {.groups = 4, .scale = maps, .shift = maps}); }) ==
        "group_norm: maps of 3x3x4 do not divide x evenly, got f32[1, 2, 3, 4, 4, 8]");
}
