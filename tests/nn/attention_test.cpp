// tests/nn/attention_test.cpp - the attention layers of video models: their keys, and that each sees what its name says.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"

#include <kinema/nn/attention.hpp>
#include <kinema/op/layout.hpp>

using namespace kinema;
using namespace kinema::test;

namespace {

template <class Layer>
void fill(Layer& layer, unsigned seed) {
  Draw draw(seed);
  nn::for_each_parameter(layer, [&](const std::string&, nn::Parameter& p) { p.set(normal_tensor(draw, p.shape(), DType::f32, 0.3)); });
}
template <class Layer>
std::vector<std::string> keys(Layer& layer) {
  std::vector<std::string> names;
  nn::for_each_parameter(layer, [&](const std::string& name, nn::Parameter& p) { names.push_back(cat(name, " ", p.shape())); });
  return names;
}
double largest_difference(const Tensor<>& a, const Tensor<>& b) {
  const std::vector<double> x = values_of(a), y = values_of(b);
  REQUIRE(x.size() == y.size());
  double m = 0;
  for (std::size_t i = 0; i < x.size(); ++i) m = std::max(m, std::abs(x[i] - y[i]));
  return m;
}
constexpr double rounding = 2e-6;  // products of 24 numbers and a softmax on values of order 1, in f32

}  // namespace

TEST_CASE("attention layers have the checkpoint's keys", "[nn][attention]") {
  nn::Attention plain(24, 3, false);
  CHECK(keys(plain) == std::vector<std::string>{"to_q.weight [24, 24]", "to_k.weight [24, 24]", "to_v.weight [24, 24]", "to_out.0.weight [24, 24]", "to_out.0.bias [24]"});
  nn::SeparatedAttention both(8, 2);
  const std::vector<std::string> names = keys(both);
  REQUIRE(names.size() == 16);
  CHECK(names.front() == "spatial.to_q.weight [8, 8]");
  CHECK(names.back() == "temporal.to_out.0.bias [8]");
  CHECK(message_of<ArgumentError>([] { nn::Attention(24, 5); }) == "attention layer: width must be a multiple of heads, got 24 and 5");
}

TEST_CASE("full, spatial and temporal attention are plain attention over the sequences they name", "[nn][attention]") {
  Draw draw(51);
  const std::int64_t b = 2, t = 5, s = 7, c = 24;
  const Tensor<> x = normal_tensor(draw, {b, t, s, c}, DType::f32);
  nn::Attention plain(c, 3);
  nn::FullAttention full(c, 3);
  nn::SpatialAttention spatial(c, 3);
  nn::TemporalAttention temporal(c, 3);
  fill(plain, 1), fill(full, 1), fill(spatial, 1), fill(temporal, 1);

  CHECK(largest_difference(full(x), plain(reshape(x, {b, t * s, c}))) == 0);
  CHECK(largest_difference(spatial(x), plain(reshape(x, {b * t, s, c}))) == 0);
  const Tensor<> by_place = op::contiguous(transpose(x, 1, 2));  // [B, S, T, C]
  const Tensor<> y = reshape(plain(reshape(by_place, {b * s, t, c})), {b, s, t, c});
  CHECK(largest_difference(temporal(x), transpose(y, 1, 2)) <= rounding);
  CHECK(largest_difference(full(x), spatial(x)) > 0.01);
  CHECK(full(x).shape() == x.shape());
  CHECK(temporal(x).shape() == x.shape());
}

TEST_CASE("separated attention is spatial, then temporal", "[nn][attention]") {
  Draw draw(52);
  const Tensor<> x = normal_tensor(draw, {1, 4, 6, 16}, DType::f32);
  nn::SeparatedAttention both(16, 2);
  fill(both, 3);
  CHECK(largest_difference(both(x), both.temporal(both.spatial(x))) == 0);

  // A change in one token reaches its own frame through spatial attention and its own place through temporal attention.
  const Tensor<> other = empty_like(x);
  std::copy_n(x.data<float>(), x.numel(), other.data<float>());
  for (std::int64_t e = 0; e < 16; ++e) other.data<float>()[(2 * 6 + 3) * 16 + e] += 1;
  const Tensor<> in_frames = both.spatial(x), in_frames_changed = both.spatial(other), in_time = both.temporal(x), in_time_changed = both.temporal(other);
  for (std::int64_t t = 0; t < 4; ++t)
    for (std::int64_t s = 0; s < 6; ++s) {
      const auto token = [&](const Tensor<>& y) { return narrow(narrow(y, 1, t, 1), 2, s, 1); };
      CHECK((largest_difference(token(in_frames), token(in_frames_changed)) > 0) == (t == 2));
      CHECK((largest_difference(token(in_time), token(in_time_changed)) > 0) == (s == 3));
    }
}

TEST_CASE("attention layers count the arithmetic of papers", "[nn][attention]") {
  const Shape clip{1, 16, 225, 1152};
  const nn::FullAttention full(1152, 16);
  const nn::SeparatedAttention both(1152, 16);
  const double projections = 8.0 * 3600 * 1152 * 1152;
  CHECK(full.flops(clip) == projections + 59719680000.0);
  CHECK(both.flops(clip) == 2 * projections + 3732480000.0 + 265420800.0);
}

TEST_CASE("attention layers say what is wrong with their input", "[nn][attention]") {
  nn::FullAttention full(16, 2);
  CHECK(message_of<ShapeError>([&] { full(zeros({4, 6, 16}, DType::f32)); }) == "full attention layer: x must have rank 4, got f32[4, 6, 16]");
  CHECK(message_of<ShapeError>([&] { full(zeros({1, 4, 6, 8}, DType::f32)); }) == "full attention layer: x must have size 16 on axis 3, got f32[1, 4, 6, 8]");
}
