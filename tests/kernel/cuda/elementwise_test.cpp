// tests/kernel/cuda/elementwise_test.cpp - the pointwise CUDA kernels, run on the CPU, against f64.
#include <kinema/kernel/cuda/elementwise.cuh>

#include "kernel/cuda/on_host.hpp"
#include "support/catch.hpp"

#include <cstring>
#include <limits>

using namespace on_host;

namespace {

CudaContext ctx;
// Around one block of packs (256 threads, 2 to 8 elements each), and what is smaller than a pack.
constexpr std::int64_t sizes[] = {0, 1, 3, 8, 31, 255, 256, 2047, 2048, 2049, 5003};

std::vector<double> mapped(const Tensor<>& x, double (*f)(double)) {
  std::vector<double> v = values(x);
  for (double& e : v) e = f(e);
  return v;
}

}  // namespace

TEST_CASE("activate computes its formula for every type, size and alignment") {
  for (const auto a : {kernel::Activation::silu, kernel::Activation::gelu_tanh, kernel::Activation::gelu, kernel::Activation::none})
    for (const DType dtype : floating)
      for (const std::int64_t n : sizes)
        for (const std::int64_t offset : {0, 1}) {
          CAPTURE(name_of(a), name_of(dtype), n, offset);
          const Tensor<> x = random({n}, dtype, 1, offset), y = random({n}, dtype, 2);
          std::vector<double> expected = values(x);
          for (double& e : expected) e = kernel::dispatch_activation(a, [&](auto f) { return f(e); });
          run(ctx, kernel::Activate{x, y, a});
          CHECK(error(y, expected) <= tolerance(dtype));
          run(ctx, kernel::Activate{x, x, a});
          CHECK(error(x, expected) <= tolerance(dtype));
        }
}

TEST_CASE("scale and clamp; NaN stays NaN") {
  for (const DType dtype : floating)
    for (const std::int64_t n : sizes) {
      CAPTURE(name_of(dtype), n);
      const Tensor<> x = random({n}, dtype, 3), y = random({n}, dtype, 4, 1);
      run(ctx, kernel::Scale{x, y, -1.5});
      CHECK(error(y, mapped(x, [](double v) { return -1.5 * v; })) <= tolerance(dtype));
      if (n > 2) write(x, 2, std::numeric_limits<double>::quiet_NaN());
      run(ctx, kernel::Clamp{x, y, -0.5, 1.0});
      CHECK(error(y, mapped(x, [](double v) { return std::isnan(v) ? v : std::min(std::max(v, -0.5), 1.0); })) == 0);
    }
}

TEST_CASE("cast rounds once, to nearest even") {
  for (const DType from : floating)
    for (const DType to : floating)
      for (const std::int64_t n : sizes) {
        CAPTURE(name_of(from), name_of(to), n);
        const Tensor<> x = random({n}, from, 5), y = random({n}, to, 6);
        run(ctx, kernel::Cast{x, y});
        std::vector<double> expected = values(x);
        if (from != DType::f64 && to != DType::f64)
          for (double& e : expected) e = dispatch_floating(to, "", [&]<class T>(Type<T>) { return static_cast<double>(T(static_cast<float>(e))); });
        const double allowed = from == DType::f64 ? tolerance(to) / 2 : 0;  // f32 and wider: one rounding; the rest: same bits
        CHECK(error(y, expected) <= allowed);
      }
  // 1 + 2^-8 is a tie in bf16 and goes to even; a little more, seen by f64 alone, must go up.
  const Tensor<> x = tensor_of<double>({1 + 0x1p-8, 1 + 0x1p-8 + 0x1p-40, -1 - 0x1p-8 - 0x1p-40, 1 + 3 * 0x1p-8 - 0x1p-40}), y = random({4}, DType::bf16, 7);
  run(ctx, kernel::Cast{x, y});
  CHECK(values(y) == std::vector<double>{1, 1 + 0x1p-7, -1 - 0x1p-7, 1 + 0x1p-7});
}

TEST_CASE("binary operations on windows of any strides") {
  struct Case { Shape a, b; };
  const Case cases[] = {{{5003}, {5003}},       {{4, 9, 64}, {64}},          {{4, 9, 64}, {9, 1}},          {{4, 1, 64}, {9, 1}}, {{2, 3, 5, 7}, {2, 1, 5, 1}},
                        {{1}, {}},              {{3, 0, 4}, {4}},            {{2, 1, 3, 1, 2, 1, 2, 8}, {8}}, {{6, 8}, {}},       {{17, 24}, {17, 1}},
                        {{2, 3, 40}, {2, 1, 40}}};
  using kernel::Arithmetic;
  for (const auto arithmetic : {Arithmetic::add, Arithmetic::subtract, Arithmetic::multiply})
    for (const DType dtype : floating)
      for (const Case& c : cases)
        for (const std::int64_t offset : {0, 1}) {
          CAPTURE(name_of(arithmetic), name_of(dtype), to_string(c.a), to_string(c.b), offset);
          const Shape shape = broadcast(c.a, c.b);
          const Tensor<> ta = random(c.a, dtype, 8), tb = random(c.b, dtype, 9, offset), y = random(shape, dtype, 10);
          const Ref a = broadcast_to(ta, shape), b = broadcast_to(tb, shape);
          const std::vector<double> u = values(a), v = values(b);
          std::vector<double> expected(u.size());
          for (std::size_t i = 0; i < u.size(); ++i)
            expected[i] = arithmetic == Arithmetic::add ? u[i] + v[i] : arithmetic == Arithmetic::subtract ? u[i] - v[i] : u[i] * v[i];
          run(ctx, kernel::Binary{a, b, y, arithmetic});
          CHECK(error(y, expected) <= tolerance(dtype));
          run(ctx, kernel::Binary{b, a, y, Arithmetic::multiply});  // the other operand may be the one that repeats
          for (std::size_t i = 0; i < u.size(); ++i) expected[i] = u[i] * v[i];
          CHECK(error(y, expected) <= tolerance(dtype));
        }
}

TEST_CASE("binary operations on transposed and narrowed operands move the right elements") {
  const int swap[] = {0, 2, 1};
  const Tensor<> whole = random({3, 16, 20}, DType::f32, 11), a = permuted(whole, swap);
  const Tensor<> b = narrowed(random({3, 20, 24}, DType::f32, 12), 2, 4, 16), y = random({3, 20, 16}, DType::f32, 13);
  std::vector<double> expected = values(a);
  const std::vector<double> v = values(b);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<float>(expected[i]) + static_cast<float>(v[i]);
  run(ctx, kernel::Binary{a, b, y, kernel::Arithmetic::add});
  CHECK(error(y, expected) <= 1e-7);
}

TEST_CASE("axes merge where strides allow, and packs stop where they do not") {
  const Tensor<> x = random({4, 6, 16}, DType::f32, 14), bias = random({16}, DType::f32, 15), one = random({}, DType::f32, 16);
  const auto walk = [&](const Ref& b) { return kernel::cuda::walk_of(x, broadcast_to(b, x.shape())); };
  CHECK(walk(x).rank == 1);
  CHECK(walk(one).rank == 1);
  CHECK(walk(bias).rank == 2);
  CHECK(kernel::cuda::walks_in_packs(walk(bias), x, bias, 4));
  CHECK(kernel::cuda::walks_in_packs(walk(one), x, one, 4));
  CHECK_FALSE(kernel::cuda::walks_in_packs(walk(narrowed(random({18}, DType::f32, 17), 0, 1, 16)), x, narrowed(random({18}, DType::f32, 17), 0, 1, 16), 4));
}

TEST_CASE("combine sums up to four inputs of mixed types in f64") {
  const double c[4] = {1.25, -7.5, 0.001, 3.0};
  for (const DType dtype : floating)
    for (int count = 1; count <= 4; ++count)
      for (const std::int64_t n : sizes)
        for (const std::int64_t offset : {0, 1}) {
          CAPTURE(name_of(dtype), count, n, offset);
          kernel::Combine op{};
          std::vector<Tensor<>> x;
          std::vector<double> expected(static_cast<std::size_t>(n), 0.0);
          for (int j = 0; j < count; ++j) {
            x.push_back(random({n}, floating[(static_cast<int>(dtype) + j) % 4], 20 + static_cast<unsigned>(j), j == 1 ? offset : 0));
            op.x[j] = x.back();
            op.c[j] = c[j];
            const auto v = values(x.back());
            for (std::size_t i = 0; i < v.size(); ++i) expected[i] += c[j] * v[i];
          }
          op.count = count;
          op.y = x[0];  // the first input has the dtype of the result and may be overwritten
          run(ctx, op);
          CHECK(error(op.y, expected) <= (dtype == DType::f32 ? 6.1e-8 : tolerance(dtype) / 2));
        }
}

TEST_CASE("gate_residual finds the gate of every row") {
  struct Case { std::int64_t batch, sequence, channels; std::vector<std::int64_t> runs; };
  std::vector<std::int64_t> many;  // more runs than travel in one launch, empty ones among them
  for (std::int64_t r = 0; r < 75; ++r) many.insert(many.end(), {r / 2, r % 3});
  const Case cases[] = {{2, 7, 64, {3, 1, 7, 0}}, {1, 5, 1920, {5, 0}}, {2, 37, 24, many}, {3, 4, 7, {1, 2, 4, 1}}, {0, 4, 8, {4, 0}}, {2, 3, 0, {3, 0}}};
  for (const DType dtype : floating)
    for (const DType gate_dtype : {DType::f32, dtype})
      for (const Case& c : cases) {
        CAPTURE(name_of(dtype), name_of(gate_dtype), c.batch, c.sequence, c.channels);
        const Shape shape{c.batch, c.sequence, c.channels};
        const Tensor<> residual = random(shape, dtype, 30), x = random(shape, dtype, 31), runs = runs_of(c.runs);
        const Tensor<> gate = narrowed(random({c.batch, 3, 6 * c.channels}, gate_dtype, 32), 2, 2 * c.channels, c.channels);  // a chunk of the modulation
        std::vector<double> expected = values(residual);
        const std::vector<double> vx = values(x), vg = values(gate);
        for (std::int64_t i = 0; i < shape.numel(); ++i) {
          const std::int64_t ch = i % c.channels, row = i / c.channels, s = row % c.sequence, b = row / c.sequence;
          expected[static_cast<std::size_t>(i)] += vg[static_cast<std::size_t>((b * 3 + group_of(runs, s)) * c.channels + ch)] * vx[static_cast<std::size_t>(i)];
        }
        const Tensor<> y = random(shape, dtype, 33);
        run(ctx, kernel::GateResidual{residual, x, gate, runs, y});
        CHECK(error(y, expected) <= tolerance(dtype));
        run(ctx, kernel::GateResidual{residual, x, gate, runs, residual});
        CHECK(error(residual, expected) <= tolerance(dtype));
      }
}

TEST_CASE("integers are refused before anything is launched") {
  const Tensor<> x = zeros({4}, DType::i32), y = zeros({4}, DType::i32);
  const auto before = host_execution::launches;
  CHECK_THROWS_WITH(run(ctx, kernel::Scale{x, y, 2.0}), "scale: needs a floating element type, got i32");
  kernel::Combine op{};
  op.count = 1;
  op.x[0] = x;
  op.y = random({4}, DType::f32, 40);
  CHECK_THROWS_WITH(run(ctx, op), "cuda: operand must be floating, got i32");
  CHECK(host_execution::launches == before);
}
