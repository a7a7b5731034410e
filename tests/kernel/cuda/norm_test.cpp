// tests/kernel/cuda/norm_test.cpp - the CUDA kernels of the norms, run on the CPU, against f64.
#include <kinema/kernel/cuda/norm.cuh>

#include "kernel/cuda/on_host.hpp"
#include "support/catch.hpp"

#include <cstring>

using namespace on_host;

namespace {

CudaContext ctx;
constexpr double eps = 1e-5;

/// One warp and less, the widths of the models, whole and broken packs, and a row that shared memory does not hold.
constexpr std::int64_t widths[] = {1, 7, 8, 64, 250, 256, 1920, 2049, 12100};

struct Affine {
  std::vector<double> weight, bias;  ///< empty: 1 and 0
};

std::vector<double> layer_norm(const Ref& x, const Affine& affine) {
  std::vector<double> v = values(x);
  const auto c = static_cast<std::size_t>(x.size(2));
  for (std::size_t at = 0; at < v.size(); at += c) {
    double mean = 0, variance = 0;
    for (std::size_t i = 0; i < c; ++i) mean += v[at + i] / static_cast<double>(c);
    for (std::size_t i = 0; i < c; ++i) variance += (v[at + i] - mean) * (v[at + i] - mean) / static_cast<double>(c);
    for (std::size_t i = 0; i < c; ++i)
      v[at + i] = (v[at + i] - mean) / std::sqrt(variance + eps) * (affine.weight.empty() ? 1 : affine.weight[i]) + (affine.bias.empty() ? 0 : affine.bias[i]);
  }
  return v;
}

/// [A, R, C] as rows of a longer sequence, every second one: both strides are free.
Tensor<> strided(std::int64_t a, std::int64_t r, std::int64_t c, DType dtype, unsigned seed, std::int64_t offset = 0) {
  const Tensor<> whole = random({a, 2 * r + 3, c}, dtype, seed, offset);
  Ref ref = whole.ref();
  ref.shape[1] = r;
  ref.stride[1] *= 2;
  return whole.window(ref);
}

bool same_bits(const Tensor<>& a, const Tensor<>& b) { return a.bytes() == b.bytes() && std::memcmp(a.ref().data, b.ref().data, a.bytes()) == 0; }

}  // namespace

TEST_CASE("layer_norm with and without weights, of their own type, on strided rows") {
  for (const DType dtype : floating)
    for (const std::int64_t c : widths)
      for (const std::int64_t offset : {0, 1}) {
        CAPTURE(name_of(dtype), c, offset);
        const Tensor<> x = strided(2, 2, c, dtype, 1, offset), y = random({2, 2, c}, dtype, 2);
        const Tensor<> weight = random({c}, DType::f32, 3), bias = random({c}, dtype, 4, offset);
        run(ctx, kernel::LayerNorm{x, weight, bias, y, eps});
        CHECK(error(y, layer_norm(x, {values(weight), values(bias)})) <= tolerance(dtype));
        run(ctx, kernel::LayerNorm{x, {}, {}, y, eps});
        CHECK(error(y, layer_norm(x, {})) <= tolerance(dtype));
      }
}

TEST_CASE("a large mean does not spoil the variance") {
  const Tensor<> x = random({1, 2, 1920}, DType::f32, 5), y = random({1, 2, 1920}, DType::f32, 6);
  for (std::int64_t i = 0; i < x.numel(); ++i) write(x, i, read(x, i) + 1000);
  run(ctx, kernel::LayerNorm{x, {}, {}, y, eps});
  CHECK(error(y, layer_norm(x, {})) <= 1e-4);  // the mean itself has 6e-5 of absolute error in f32; one pass would have 10
}

TEST_CASE("the order of threads does not change a bit") {
  const Tensor<> x = random({1, 3, 1920}, DType::f32, 7), weight = random({1920}, DType::f32, 8);
  std::vector<Tensor<>> layer, rms;
  in_every_order([&] {
    layer.push_back(random({1, 3, 1920}, DType::f32, 9));
    rms.push_back(random({1, 3, 1920}, DType::f32, 9));
    run(ctx, kernel::LayerNorm{x, weight, {}, layer.back(), eps});
    run(ctx, kernel::RmsNorm{x, weight, rms.back(), eps});
  });
  for (std::size_t i = 1; i < layer.size(); ++i) {
    CHECK(same_bits(layer[0], layer[i]));
    CHECK(same_bits(rms[0], rms[i]));
  }
}

TEST_CASE("rms_norm rounds before the weight, as T5 does") {
  for (const DType dtype : floating)
    for (const DType weight_dtype : {DType::f32, dtype})
      for (const std::int64_t c : widths) {
        CAPTURE(name_of(dtype), name_of(weight_dtype), c);
        const Tensor<> x = strided(1, 3, c, dtype, 10), y = random({1, 3, c}, dtype, 11), weight = random({c}, weight_dtype, 12);
        std::vector<double> expected = values(x);
        const auto w = values(weight);
        for (std::size_t at = 0; at < expected.size(); at += static_cast<std::size_t>(c)) {
          double squares = 0;
          for (std::size_t i = 0; i < w.size(); ++i) squares += expected[at + i] * expected[at + i] / static_cast<double>(c);
          for (std::size_t i = 0; i < w.size(); ++i) expected[at + i] *= w[i] / std::sqrt(squares + eps);
        }
        run(ctx, kernel::RmsNorm{x, weight, y, eps});
        CHECK(error(y, expected) <= 2 * tolerance(dtype));
      }
  // Row (2, 0) with this eps normalises to 1.004, which bf16 rounds to 1.0078125; times 1.75 and rounded again that is
  // 1.765625. One rounding of 1.757 would give 1.7578125.
  const Tensor<> x = random({1, 1, 2}, DType::bf16, 13), w = random({2}, DType::bf16, 14), y = random({1, 1, 2}, DType::bf16, 15);
  write(x, 0, 2), write(x, 1, 0), write(w, 0, 1.75), write(w, 1, 1);
  run(ctx, kernel::RmsNorm{x, w, y, 4 / (1.004 * 1.004) - 2});
  CHECK(values(y) == std::vector<double>{1.765625, 0});
}

TEST_CASE("ada_layer_norm modulates each run by its group") {
  struct Case { std::int64_t a, r, c; std::vector<std::int64_t> runs; };
  std::vector<std::int64_t> many;
  for (std::int64_t r = 0; r < 75; ++r) many.insert(many.end(), {r / 2, r % 3});
  const Case cases[] = {{2, 7, 64, {3, 1, 7, 0}}, {1, 3, 1920, {1, 1, 3, 0}}, {2, 37, 24, many}, {2, 4, 7, {1, 2, 4, 1}}, {0, 3, 8, {3, 0}}, {1, 2, 12100, {1, 0, 2, 2}}};
  for (const DType dtype : floating)
    for (const DType modulation : {DType::f32, dtype})
      for (const Case& c : cases) {
        CAPTURE(name_of(dtype), name_of(modulation), c.a, c.r, c.c);
        const Tensor<> x = strided(c.a, c.r, c.c, dtype, 14), y = random({c.a, c.r, c.c}, dtype, 15), runs = runs_of(c.runs);
        const Tensor<> weight = random({c.c}, dtype, 16), bias = random({c.c}, DType::f32, 17);
        const Tensor<> chunks = random({c.a, 3, 6 * c.c}, modulation, 18);
        const Tensor<> shift = narrowed(chunks, 2, 0, c.c), scale = narrowed(chunks, 2, 4 * c.c, c.c);
        std::vector<double> expected = layer_norm(x, {values(weight), values(bias)});
        const auto vshift = values(shift), vscale = values(scale);
        for (std::int64_t i = 0; i < y.numel(); ++i) {
          const std::int64_t ch = i % c.c, row = i / c.c % c.r, a = i / c.c / c.r;
          const auto m = static_cast<std::size_t>((a * 3 + group_of(runs, row)) * c.c + ch);
          expected[static_cast<std::size_t>(i)] = expected[static_cast<std::size_t>(i)] * (1 + vscale[m]) + vshift[m];
        }
        run(ctx, kernel::AdaLayerNorm{x, weight, bias, shift, scale, runs, y, eps});
        CHECK(error(y, expected) <= 2 * tolerance(dtype));
      }
}
