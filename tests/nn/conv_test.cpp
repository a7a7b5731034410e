// tests/nn/conv_test.cpp - causal convolution layers and the frames that they remember.
#include "support/volume.hpp"

#include <kinema/nn/conv.hpp>

using namespace kinema;
using namespace kinema::test;

namespace {

nn::CausalConv3d random_layer(std::int64_t in, std::int64_t out, Numbers& n) {
  nn::CausalConv3d layer(in, out, 3);
  nn::for_each_parameter(layer, [&](const std::string&, nn::Parameter& p) {
    p.set(tensor_from(n.normal(p.shape().numel(), DType::f32), p.shape(), DType::f32));
  });
  return layer;
}

/// Feeds frames [B, C, T, H, W] in chunks of the given sizes.
Tensor<> in_chunks(const nn::CausalConv3d& layer, const Tensor<>& x, std::initializer_list<std::int64_t> sizes) {
  nn::FrameCache cache;
  Tensor<> all;
  std::int64_t at = 0;
  for (const std::int64_t size : sizes) {
    const Tensor<> part = narrow(x, 2, at, size);
    const op::ConvInput in = layer.input(op::blocked_shape(x.size(0), x.size(1), size, x.size(3), x.size(4)), x.dtype(), x.device());
    op::to_blocked_into(in.inside, part);
    const Tensor<> y = op::from_blocked(layer(in, cache));
    if (!all) all = empty(y.shape().with(2, x.size(2)), y.dtype());
    for (std::int64_t c = 0; c < y.size(1); ++c)
      for (std::int64_t t = 0; t < size; ++t)
        for (std::int64_t i = 0; i < y.size(3); ++i)
          for (std::int64_t j = 0; j < y.size(4); ++j) all.view<float, 5>()(0, c, at + t, i, j) = y.view<float, 5>()(0, c, t, i, j);
    at += size;
  }
  return all;
}

}  // namespace

TEST_CASE("a causal convolution repeats the first frame in front and pads space with zeros", "[nn][conv]") {
  Numbers n(31);
  const nn::CausalConv3d layer = random_layer(5, 9, n);
  const Volume x = n.normal({1, 5, 4, 5, 6}, DType::f32);
  Volume padded({1, 5, 6, 5, 6});
  padded.for_each([&](auto b, auto c, auto t, auto i, auto j) { padded(b, c, t, i, j) = x(b, c, std::max<std::int64_t>(0, t - 2), i, j); });
  Volume w({9, 5, 3, 3, 3}), magnitude;
  w.v = values_of(layer.conv.weight.value());
  const Volume want = reference::conv(padded, w, values_of(layer.conv.bias.value()), 1, 1, 1, 1, 1, &magnitude);
  CHECK(excess(in_chunks(layer, tensor_from(x, DType::f32), {4}), want, magnitude, 135) <= 1);
}

TEST_CASE("chunks of any size give the bits of the whole sequence", "[nn][conv]") {
  Numbers n(32);
  for (const std::int64_t C : {4, 32}) {  // 32: wide enough for every kernel
    const nn::CausalConv3d layer = random_layer(C, C, n);
    const Tensor<> x = tensor_from(n.normal({1, C, 9, 6, 7}, DType::f32), DType::f32);
    const Tensor<> whole = in_chunks(layer, x, {9});
    CAPTURE(C);
    CHECK(same_bits(in_chunks(layer, x, {1, 1, 1, 1, 1, 1, 1, 1, 1}), whole));
    CHECK(same_bits(in_chunks(layer, x, {3, 2, 2, 2}), whole));
    CHECK(same_bits(in_chunks(layer, x, {1, 5, 3}), whole));
  }
}

TEST_CASE("no frame sees a later one", "[nn][conv]") {
  Numbers n(33);
  for (const std::int64_t C : {4, 32}) {
    const nn::CausalConv3d layer = random_layer(C, C, n);
    const Volume x = n.normal({1, C, 6, 5, 6}, DType::f32);
    Volume changed = x;
    changed.for_each([&](auto b, auto c, auto t, auto i, auto j) {
      if (t >= 3) changed(b, c, t, i, j) += 1;
    });
    const Tensor<> a = in_chunks(layer, tensor_from(x, DType::f32), {6}), b = in_chunks(layer, tensor_from(changed, DType::f32), {6});
    std::int64_t early = 0, late = 0;
    x.for_each([&](auto s, auto c, auto t, auto i, auto j) {
      const bool differs = a.view<float, 5>()(s, c, t, i, j) != b.view<float, 5>()(s, c, t, i, j);
      (t < 3 ? early : late) += differs;
    });
    CHECK(early == 0);
    CHECK(late > 0);
  }
}

TEST_CASE("convolution layers list their keys", "[nn][conv]") {
  nn::CausalConv3d layer(3, 8, 3);
  std::string keys;
  nn::for_each_parameter(layer, [&](const std::string& name, nn::Parameter& p) { keys += name + to_string(p.shape()) + ";"; });
  CHECK(keys == "conv.weight[8, 3, 3, 3, 3];conv.bias[8];");
}
