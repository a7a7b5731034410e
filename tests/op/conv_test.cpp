// tests/op/conv_test.cpp - convolutions over blocked activations against their definition in double.
#include "support/volume.hpp"

#include <kinema/op/conv.hpp>

using namespace kinema;
using namespace kinema::test;

namespace {

struct Case {
  std::int64_t B, Ci, Co, T, H, W, kt, kh, kw, stride;
  op::Padding pad;
  bool bias, residual;
};

std::int64_t longest_chain(const Case& c) {  // products of one slice, then one addition per slice, and the transforms
  return std::min<std::int64_t>(c.Ci * c.kt * c.kh * c.kw, 512) + c.Ci;
}

Case random_case(Numbers& n) {
  static constexpr std::int64_t channels[] = {1, 3, 4, 7, 8, 9, 12, 15, 16, 17, 24, 32, 40, 64};
  Case c{};
  c.B = n.between(1, 2);
  c.Ci = channels[n.between(0, 13)];
  c.Co = channels[n.between(0, 13)];
  const bool causal = n.between(0, 1) == 1;
  c.kt = causal ? 3 : 1;
  c.kh = c.kw = n.between(0, 3) == 0 ? 1 : 3;
  if (n.between(0, 7) == 0) c.kh = 2;
  c.stride = n.between(0, 3) == 0 ? 2 : 1;
  c.T = c.kt - 1 + n.between(1, 3);
  c.H = n.between(c.kh, 9);
  c.W = n.between(c.kw, 19);
  c.pad = {n.between(0, 1), n.between(0, 1), n.between(0, 1), n.between(0, 1)};
  c.bias = n.between(0, 3) != 0;
  c.residual = n.between(0, 1) == 1;
  return c;
}

struct Result {
  Tensor<> y;
  Volume want, magnitude;
};

Result run(const Case& c, Numbers& n, DType dtype, DType weight_dtype, std::int64_t integers = 0) {
  const auto make = [&](std::array<std::int64_t, 5> size, DType t) { return integers ? n.integers(size, integers) : n.normal(size, t); };
  const Volume x = make({c.B, c.Ci, c.T, c.H, c.W}, dtype), w = make({c.Co, c.Ci, c.kt, c.kh, c.kw}, weight_dtype);
  const std::vector<double> bias = c.bias ? make({1, 1, 1, 1, c.Co}, weight_dtype).v : std::vector<double>{};
  Result r;
  r.want = reference::conv(x, w, bias, c.stride, c.pad.top, c.pad.left, c.pad.bottom, c.pad.right, &r.magnitude);
  op::ConvOptions options;
  options.stride = c.stride;
  options.padding = c.pad;
  if (c.residual) {
    const Volume add = make(r.want.size, dtype);
    options.residual = op::to_blocked(tensor_from(add, dtype));
    for (std::size_t i = 0; i < add.v.size(); ++i) r.want.v[i] += add.v[i], r.magnitude.v[i] += std::abs(add.v[i]);
  }
  r.y = op::from_blocked(op::conv(op::to_blocked(tensor_from(x, dtype)), tensor_from(w, weight_dtype),
                                  c.bias ? tensor_from(bias, {c.Co}, weight_dtype) : Tensor<>{}, options));
  return r;
}

}  // namespace

TEST_CASE("conv agrees with its definition for every element type", "[op][conv]") {
  Numbers n(1);
  for (int i = 0; i < 160; ++i) {
    const Case c = random_case(n);
    static constexpr DType types[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
    const DType dtype = i % 2 == 0 ? DType::f32 : types[i / 2 % 4], weight = types[n.between(0, 3)];
    CAPTURE(i, to_string(dtype), to_string(weight), c.Ci, c.Co, c.T, c.H, c.W, c.kt, c.kh, c.kw, c.stride, c.pad.top, c.pad.left, c.residual);
    const Result r = run(c, n, dtype, dtype == DType::f64 ? DType::f64 : weight == DType::f64 ? DType::f32 : weight);
    CHECK(excess(r.y, r.want, r.magnitude, static_cast<double>(longest_chain(c))) <= 1);
  }
}

TEST_CASE("conv is exact on integers: every index path", "[op][conv]") {
  Numbers n(2);
  for (int i = 0; i < 120; ++i) {
    Case c = random_case(n);
    if (i % 3 == 0) c.kh = c.kw = 3, c.stride = 1, c.pad = op::Padding::all(1), c.Ci = 32, c.Co = 8 * n.between(4, 6), c.H = n.between(1, 11), c.W = n.between(1, 35);
    CAPTURE(i, c.B, c.Ci, c.Co, c.T, c.H, c.W, c.kt, c.kh, c.kw, c.stride);
    const Result r = run(c, n, DType::f32, DType::f32, 4);
    CHECK(largest_difference(r.y, r.want) == 0);
  }
}

TEST_CASE("conv takes long sums of equal signs", "[op][conv]") {
  Numbers n(3);
  Case c{1, 256, 32, 3, 5, 7, 3, 3, 3, 1, op::Padding::all(1), true, false};
  Volume x({c.B, c.Ci, c.T, c.H, c.W}), w({c.Co, c.Ci, 3, 3, 3});
  std::uniform_real_distribution<double> u(0.0, 1.0);
  for (double& v : x.v) v = rounded(u(n.bits), DType::f32);
  for (double& v : w.v) v = rounded(u(n.bits), DType::f32);
  Volume magnitude;
  const Volume want = reference::conv(x, w, {}, 1, 1, 1, 1, 1, &magnitude);
  const Tensor<> y = op::from_blocked(op::conv(op::to_blocked(tensor_from(x, DType::f32)), tensor_from(w, DType::f32), {}, {.padding = c.pad}));
  CHECK(excess(y, want, magnitude, static_cast<double>(longest_chain(c))) <= 1);
}

TEST_CASE("conv reads windows of larger buffers and any strides of the weight", "[op][conv]") {
  Numbers n(4);
  const Volume x = n.normal({2, 16, 6, 7, 9}, DType::f32), w = n.normal({16, 16, 3, 3, 3}, DType::f32);
  const Tensor<> bx = op::to_blocked(tensor_from(x, DType::f32)), tw = tensor_from(w, DType::f32);
  // weight transposed in memory
  const Tensor<> stored = empty({16, 16, 3, 3, 3}, DType::f32);
  for (std::int64_t o = 0; o < 16; ++o)
    for (std::int64_t c = 0; c < 16; ++c)
      for (int k = 0; k < 27; ++k) stored.data<float>()[(c * 16 + o) * 27 + k] = tw.data<float>()[(o * 16 + c) * 27 + k];
  CHECK(same_bits(op::conv(bx, transpose(stored, 0, 1), {}), op::conv(bx, tw, {})));
  // frames 1..4, rows 1..6 and columns 2..8 of x
  const Tensor<> window = narrow(narrow(narrow(bx, 2, 1, 4), 3, 1, 6), 4, 2, 7);
  const Tensor<> dense = empty(window.shape(), DType::f32);
  op::repeat_frames_into(dense, window, 0, 1);
  CHECK(same_bits(op::conv(window, tw, {}), op::conv(dense, tw, {})));
}

TEST_CASE("conv has the same bits for every number of threads", "[op][conv]") {
  Numbers n(5);
  for (const auto& [Ci, Co, W] : {std::array<std::int64_t, 3>{40, 72, 37}, std::array<std::int64_t, 3>{3, 20, 9}, std::array<std::int64_t, 3>{64, 64, 30}}) {
    const Tensor<> x = op::to_blocked(tensor_from(n.normal({1, Ci, 5, 23, W}, DType::f32), DType::f32));
    const Tensor<> w = tensor_from(n.normal({Co, Ci, 3, 3, 3}, DType::f32), DType::f32), b = tensor_from(n.normal(Co, DType::f32), {Co}, DType::f32);
    require_thread_independence([&] { return op::conv(x, w, b, {.padding = op::Padding::all(1)}); });
  }
}

TEST_CASE("upsample_conv is nearest upsampling followed by a padded 3x3 convolution", "[op][conv]") {
  Numbers n(6);
  for (int i = 0; i < 40; ++i) {
    static constexpr std::int64_t channels[] = {1, 3, 8, 12, 16, 24, 32, 40};
    const std::int64_t Ci = channels[n.between(0, 7)], Co = channels[n.between(0, 7)], T = n.between(1, 3), H = n.between(1, 6), W = n.between(1, 9);
    const DType dtype = i % 4 == 3 ? DType::f64 : DType::f32;
    CAPTURE(i, Ci, Co, T, H, W);
    const bool exact = i % 2 == 0;
    const Volume x = exact ? n.integers({1, Ci, T, H, W}, 4) : n.normal({1, Ci, T, H, W}, dtype);
    const Volume w = exact ? n.integers({Co, Ci, 1, 3, 3}, 4) : n.normal({Co, Ci, 1, 3, 3}, dtype);
    Volume up({1, Ci, T, 2 * H, 2 * W});
    up.for_each([&](auto b, auto c, auto t, auto a, auto d) { up(b, c, t, a, d) = x(b, c, t, a / 2, d / 2); });
    Volume magnitude;
    const std::vector<double> bias = exact ? n.integers({1, 1, 1, 1, Co}, 4).v : n.normal(Co, dtype);
    const Volume want = reference::conv(up, w, bias, 1, 1, 1, 1, 1, &magnitude);
    const op::ConvInput in = op::conv_input(op::blocked_shape(1, Ci, T, H, W), dtype, Device::cpu(), 0, op::Padding::all(1));
    op::to_blocked_into(in.inside, tensor_from(x, dtype));
    const Tensor<> y = op::from_blocked(op::upsample_conv(in.whole, reshape(tensor_from(w, dtype), {Co, Ci, 3, 3}), tensor_from(bias, {Co}, dtype)));
    if (exact) CHECK(largest_difference(y, want) == 0);
    else CHECK(excess(y, want, magnitude, static_cast<double>(9 * Ci)) <= 1);
  }
}

TEST_CASE("a conv input has a zero border and a past of its own", "[op][conv]") {
  const op::ConvInput in = op::conv_input({1, 2, 3, 4, 5, 8}, DType::f32, Device::cpu(), 2, {.top = 1, .left = 2, .bottom = 3, .right = 1});
  CHECK(to_string(in.whole.shape()) == "[1, 2, 5, 8, 8, 8]");
  CHECK(to_string(in.past().shape()) == "[1, 2, 2, 8, 8, 8]");
  CHECK(to_string(in.last(2).shape()) == "[1, 2, 2, 8, 8, 8]");
  const auto v = in.whole.view<float, 6>();
  std::int64_t wrong = 0;
  for (std::int64_t k = 0; k < 2; ++k)
    for (std::int64_t t = 0; t < 5; ++t)
      for (std::int64_t i = 0; i < 8; ++i)
        for (std::int64_t j = 0; j < 8; ++j)
          if (i < 1 || i >= 5 || j < 2 || j >= 7) wrong += v(0, k, t, i, j, 3) != 0.0f;
  CHECK(wrong == 0);
  CHECK(&in.inside.view<float, 6>()(0, 1, 0, 0, 0, 0) == &v(0, 1, 2, 1, 2, 0));
}

TEST_CASE("conv explains what it cannot take", "[op][conv]") {
  const Tensor<> x = zeros({1, 1, 3, 4, 5, 8}, DType::f32), w = zeros({8, 8, 3, 3, 3}, DType::f32);
  CHECK(message_of<ShapeError>([&] { op::conv(zeros({1, 8, 3, 4, 5}, DType::f32), w, {}); }) == "conv: x must have rank 6, got f32[1, 8, 3, 4, 5]");
  CHECK(message_of<ShapeError>([&] { op::conv(x, zeros({8, 4, 3, 3, 3}, DType::f32), {}); }) == "conv: weight must have size 8 on axis 1, got f32[8, 4, 3, 3, 3]");
  CHECK(message_of<ShapeError>([&] { op::conv(x, zeros({8, 8, 3}, DType::f32), {}); }).find("[Co, Ci, kt, kh, kw]") != std::string::npos);
  CHECK(message_of<ShapeError>([&] { op::conv(x, w, zeros({4}, DType::f32)); }) == "conv: bias must have shape [8], got f32[4]");
  CHECK(message_of<ArgumentError>([&] { op::conv(x, w, {}, {.stride = 0}); }) == "conv: stride must be positive, got 0");
  CHECK(message_of<ShapeError>([&] { op::conv(narrow(x, 3, 0, 2), w, {}); }) == "conv: kernel 3x3x3 does not fit into x, got f32[1, 1, 3, 2, 5, 8]");
  CHECK(message_of<ShapeError>([&] { op::conv(x, w, {}, {.residual = x}); }).find("conv: residual must have shape [1, 1, 1, 2, 3, 8]") == 0);
  CHECK(message_of<DTypeError>([&] { op::conv(zeros({1, 1, 3, 4, 5, 8}, DType::i32), w, {}); }) == "conv: x must be floating, got i32[1, 1, 3, 4, 5, 8]");
  CHECK(message_of<ShapeError>([&] { op::conv(transpose(x, 3, 4), w, {}); }).find("pixels of a row of x must be contiguous") != std::string::npos);
}
