// tests/kernel/cuda/matmul_test.cpp - what cuBLASLt is asked for, carried out by plain loops with its conventions.
//
// The pointwise kernels come from elementwise_test.cpp and layout_test.cpp: a program has one definition of each.
#include <kinema/kernel/cuda/detail/product.hpp>

#include "kernel/cuda/on_host.hpp"
#include "support/catch.hpp"

using namespace on_host;
using kernel::cuda::Epilogue;
using kernel::cuda::GemmPlan;
using kernel::cuda::GemmPointers;
using kernel::cuda::Stored;
using kernel::cuda::Window;

namespace {

CudaContext ctx;

double element(const void* p, DType t, std::int64_t at) { return read(Ref{const_cast<void*>(p), {1}, {1}, t, Device::cpu(), nullptr}, at); }

/// Does what cublasLtMatmul documents: column-major, leading dimensions, op(A) op(B), strided batches, epilogues.
struct PlainLibrary {
  std::vector<GemmPlan> calls;

  void run(CudaContext&, const GemmPlan& p, const GemmPointers& at) {
    calls.push_back(p);
    for (const Stored* s : {&p.a, &p.b, &p.d}) {
      REQUIRE(s->leading >= s->rows);
      REQUIRE(s->rows >= 1);
      REQUIRE(s->columns >= 1);
    }
    REQUIRE_FALSE(p.d.transpose);
    REQUIRE((p.b.transpose ? p.b.columns : p.b.rows) == p.k());
    REQUIRE((p.a.transpose ? p.a.columns : p.a.rows) == p.m());
    REQUIRE((p.b.transpose ? p.b.rows : p.b.columns) == p.n());
    const auto get = [](const void* data, const Stored& s, DType t, std::int64_t batch, std::int64_t r, std::int64_t c) {
      return element(data, t, batch * s.batch_stride + (s.transpose ? c + r * s.leading : r + c * s.leading));
    };
    for (std::int64_t i = 0; i < p.batch; ++i)
      for (std::int64_t r = 0; r < p.m(); ++r)
        for (std::int64_t c = 0; c < p.n(); ++c) {
          double sum = 0;
          for (std::int64_t k = 0; k < p.k(); ++k) sum += get(at.a, p.a, p.type, i, r, k) * get(at.b, p.b, p.type, i, k, c);
          if (p.epilogue == Epilogue::bias || p.epilogue == Epilogue::gelu_tanh_bias) sum += element(at.bias, p.out, r);
          if (p.epilogue == Epilogue::gelu_tanh || p.epilogue == Epilogue::gelu_tanh_bias) sum = kernel::GeluTanh{}(sum);
          write(Ref{at.d, {1}, {1}, p.out, Device::cpu(), nullptr}, i * p.d.batch_stride + r + c * p.d.leading, sum);
        }
  }
};

/// Integers, so that every sum is exact: a wrong index shows in the bits.
Tensor<> integers(const Shape& shape, DType dtype, unsigned seed, std::int64_t offset = 0) {
  const Tensor<> t = random(shape, dtype, seed, offset);
  std::mt19937 engine(seed);
  for (std::int64_t i = 0; i < t.numel(); ++i) write(t, i, static_cast<double>(static_cast<int>(engine() % 7) - 3));
  return t;
}

std::vector<double> product(const Ref& a, const Ref& b) {  // [B, M, K] [B, K, N]
  const std::int64_t n = b.size(2), k = a.size(2), m = a.size(1), batch = a.size(0);
  const auto va = values(a), vb = values(b);
  std::vector<double> y(static_cast<std::size_t>(batch * m * n), 0.0);
  for (std::int64_t i = 0; i < batch; ++i)
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = 0; c < n; ++c)
        for (std::int64_t l = 0; l < k; ++l)
          y[static_cast<std::size_t>((i * m + r) * n + c)] += va[static_cast<std::size_t>((i * m + r) * k + l)] * vb[static_cast<std::size_t>((i * k + l) * n + c)];
  return y;
}

constexpr DType multiplied[] = {DType::f32, DType::bf16, DType::f16};
const int swap_matrix[] = {0, 2, 1}, swap_stack[] = {1, 0, 2};

}  // namespace

TEST_CASE("a window is stored plainly, transposed, or not at all") {
  using kernel::cuda::stored;
  CHECK(stored(Window{3, 5, 1, 4, 60}) == Stored{3, 5, 4, 60, false});   // columns are contiguous, with a gap
  CHECK(stored(Window{3, 5, 7, 1, 0}) == Stored{5, 3, 7, 0, true});      // rows are contiguous
  CHECK(stored(Window{1, 5, 9, 1, 0}) == Stored{1, 5, 1, 0, false});     // one row: both; a plain one is taken
  CHECK(stored(Window{1, 5, 1, 9, 0}) == Stored{1, 5, 9, 0, false});
  CHECK(stored(Window{5, 1, 9, 1, 0}) == Stored{1, 5, 9, 0, true});      // one column with a stride
  CHECK(stored(Window{1, 1, 9, 9, 0}) == Stored{1, 1, 1, 0, false});
  CHECK_FALSE(stored(Window{3, 5, 2, 10, 0}));                            // every second element
  CHECK_FALSE(stored(Window{3, 5, 0, 1, 0}));                             // one row, repeated
  CHECK_FALSE(stored(Window{3, 5, 1, 2, 0}));                             // columns overlap
}

TEST_CASE("stored agrees with the strides for every small window") {
  int expressible = 0;
  for (std::int64_t rows = 1; rows <= 4; ++rows)
    for (std::int64_t columns = 1; columns <= 4; ++columns)
      for (std::int64_t rs = 0; rs <= 6; ++rs)
        for (std::int64_t cs = 0; cs <= 6; ++cs) {
          const auto s = kernel::cuda::stored(Window{rows, columns, rs, cs, 0});
          if (!s) continue;
          ++expressible;
          CAPTURE(rows, columns, rs, cs);
          CHECK(s->leading >= s->rows);
          bool same = s->rows == (s->transpose ? columns : rows) && s->columns == (s->transpose ? rows : columns);
          for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t c = 0; c < columns; ++c) same = same && (s->transpose ? c + r * s->leading : r + c * s->leading) == r * rs + c * cs;
          CHECK(same);
        }
  CHECK(expressible > 200);
}

TEST_CASE("matmul: every layout of both operands, bit for bit on integers") {
  struct Case { std::int64_t batch, m, k, n; };
  const Case cases[] = {{1, 1, 1, 1}, {1, 3, 4, 5}, {2, 4, 3, 1}, {3, 1, 5, 4}, {2, 5, 1, 3}, {4, 7, 9, 8}, {0, 3, 2, 2}, {2, 0, 3, 2}, {2, 3, 0, 4}};
  for (const DType dtype : multiplied)
    for (const Case& c : cases)
      for (int la = 0; la < 7; ++la)
        for (int lb = 0; lb < 7; ++lb) {
          CAPTURE(name_of(dtype), c.batch, c.m, c.k, c.n, la, lb);
          const auto operand = [&](int layout, std::int64_t rows, std::int64_t columns, unsigned seed) -> Tensor<> {
            switch (layout) {
              case 0: return integers({c.batch, rows, columns}, dtype, seed);
              case 1: return permuted(integers({c.batch, columns, rows}, dtype, seed), swap_matrix);                       // transposed
              case 2: return permuted(integers({rows, c.batch, columns}, dtype, seed), swap_stack);                        // heads inside rows
              case 3: return narrowed(integers({c.batch, rows, columns + 3}, dtype, seed), 2, 2, columns);                 // a part of wider rows
              case 4: {                                                                                                    // one matrix for all
                const Tensor<> t = integers({1, rows, columns}, dtype, seed);
                return t.window(broadcast_to(t, {c.batch, rows, columns}));
              }
              default: {                                                                                                   // no cuBLAS form; 6: and shared
                const Tensor<> t = integers({layout == 6 ? 1 : c.batch, 2 * rows, 2 * columns}, dtype, seed);
                Ref r = t.ref();
                r.shape = {c.batch, rows, columns};
                r.stride[1] *= 2, r.stride[2] *= 2;
                if (layout == 6) r.stride[0] = 0;
                return t.window(r);
              }
            }
          };
          const Tensor<> a = operand(la, c.m, c.k, 1), b = operand(lb, c.k, c.n, 2), y = random({c.batch, c.m, c.n}, dtype, 3);
          PlainLibrary library;
          kernel::cuda::matmul(ctx, library, kernel::MatMul{a, b, y});
          CHECK(error(y, product(a, b)) == 0);
          CHECK(library.calls.size() == (c.batch * c.m * c.n * c.k > 0 ? 1u : 0u));
        }
}

TEST_CASE("matmul copies only what has no cuBLAS form") {
  const Tensor<> a = integers({2, 4, 6}, DType::f32, 4), b = integers({2, 6, 4}, DType::f32, 5), y = random({2, 4, 4}, DType::f32, 6);
  PlainLibrary library;
  auto before = host_execution::launches;
  kernel::cuda::matmul(ctx, library, kernel::MatMul{a, permuted(permuted(b, swap_matrix), swap_matrix), y});
  CHECK(host_execution::launches == before);
  Ref sparse = a;
  sparse.shape = {2, 4, 3};
  sparse.stride[2] = 2;
  before = host_execution::launches;
  kernel::cuda::matmul(ctx, library, kernel::MatMul{sparse, narrowed(b, 1, 0, 3), y});
  CHECK(host_execution::launches == before + 1);
}

TEST_CASE("linear: types of weight and bias, activations, empty sizes") {
  struct Case { std::int64_t m, k, n; };
  const Case cases[] = {{1, 1, 1}, {5, 8, 6}, {1, 7, 9}, {9, 3, 1}, {0, 3, 4}, {3, 0, 4}, {3, 4, 0}};
  using kernel::Activation;
  for (const DType dtype : multiplied)
    for (const DType weight_dtype : {DType::f32, DType::bf16, dtype})
      for (const Case& c : cases)
        for (const Activation activation : {Activation::none, Activation::gelu_tanh, Activation::gelu, Activation::silu})
          for (const bool with_bias : {false, true}) {
            CAPTURE(name_of(dtype), name_of(weight_dtype), c.m, c.k, c.n, name_of(activation), with_bias);
            const Tensor<> x = narrowed(random({c.m, c.k + 2}, dtype, 7), 1, 1, c.k), weight = random({c.n, c.k}, weight_dtype, 8);
            const Tensor<> bias = with_bias ? random({c.n}, weight_dtype, 9) : Tensor<>{}, y = random({c.m, c.n}, dtype, 10);
            std::vector<double> expected = product(kernel::cuda::as_stack(x), kernel::cuda::transposed(kernel::cuda::as_stack(weight)));
            for (std::int64_t i = 0; i < y.numel(); ++i) {
              double& e = expected[static_cast<std::size_t>(i)];
              if (with_bias) e += read(bias, i % c.n);
              e = kernel::dispatch_activation(activation, [&](auto f) { return f(e); });
            }
            PlainLibrary library;
            kernel::cuda::linear(ctx, library, kernel::Linear{x, weight, bias, y, activation});
            CHECK(error(y, expected) <= tolerance(dtype) / (dtype == DType::f32 ? 1 : 2));  // one rounding, wherever the bias was added
            const bool covered = (weight_dtype == dtype || dtype == DType::f32) && (activation == Activation::none || activation == Activation::gelu_tanh);
            for (const GemmPlan& p : library.calls) CHECK(p.out == (covered ? dtype : DType::f32));
            if (covered && y.numel() * c.k > 0) CHECK(library.calls.at(0).epilogue == kernel::cuda::epilogue_for(with_bias, activation));
          }
}

TEST_CASE("linear speaks to cuBLAS without copies: weights transposed, tokens plain") {
  const Tensor<> x = random({226, 64}, DType::bf16, 11), w = random({192, 64}, DType::bf16, 12), y = random({226, 192}, DType::bf16, 13);
  PlainLibrary library;
  const auto before = host_execution::launches;
  kernel::cuda::linear(ctx, library, kernel::Linear{x, w, {}, y, kernel::Activation::none});
  CHECK(host_execution::launches == before);
  const GemmPlan& p = library.calls.at(0);
  CHECK(p.a == Stored{64, 192, 64, 0, true});
  CHECK(p.b == Stored{64, 226, 64, 0, false});
  CHECK(p.d == Stored{192, 226, 192, 0, false});
  CHECK(to_string(p) == "bf16 1 x [226, 64] [64, 192] -> bf16");
}

TEST_CASE("f64 is refused by name") {
  const Tensor<> x = random({2, 2}, DType::f64, 14), y = random({2, 2}, DType::f64, 15);
  PlainLibrary library;
  CHECK_THROWS_WITH(kernel::cuda::linear(ctx, library, kernel::Linear{x, x, {}, y, kernel::Activation::none}),
                    "linear: CUDA multiplies f32, bf16 and f16, got f64");
}
