// tests/kernel/cpu_matmul_test.cpp - the ways in which the CPU multiplies matrices, each by itself, whichever the build prefers.
#include <kinema/core/config.hpp>

#if !KINEMA_KERNELS_APART  // bodies are hidden in kernel units otherwise
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/reference/dense.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/matmul.hpp>

using namespace kinema;
using namespace kinema::test;
using namespace kinema::kernel;

namespace {

cpu::blocked::Source source(const Tensor<>& t) { return {t.ref().data, t.dtype(), t.strides()[0], t.strides()[1]}; }

/// Integers, so that every order of additions gives the same bits.
template <class C, class Product>
void check_exact(Draw& draw, const Product& product) {
  const std::int64_t m = draw.between(1, 70), k = draw.between(1, 70), n = draw.between(1, 70), m0 = draw.between(0, m - 1), n0 = draw.between(0, n - 1);
  const Tensor<> a = integer_tensor(draw, {m, k}, dtype_of<C>, 8), b = integer_tensor(draw, {k, n}, dtype_of<C>, 8);
  const auto whole = reference::matmul(values_of(a), values_of(b), 1, m, k, n).sum;
  const std::int64_t rows = m - m0, columns = n - n0, stride = columns + 3;
  std::vector<C> c(static_cast<std::size_t>(rows * stride), C(-77));
  INFO(m << " x " << k << " x " << n << " from " << m0 << ", " << n0);
  product(draw, a, m0, rows, b, n0, columns, k, c.data(), stride);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < stride; ++j)
      if (c[static_cast<std::size_t>(i * stride + j)] != (j < columns ? static_cast<C>(whole[static_cast<std::size_t>((m0 + i) * n + n0 + j)]) : C(-77)))
        FAIL("element " << i << ", " << j);
  SUCCEED();
}

template <class C>
void check_blocked(unsigned seed) {
  Draw draw(seed);
  for (int i = 0; i < 200; ++i)
    check_exact<C>(draw, [](Draw& d, const Tensor<>& a, std::int64_t m0, std::int64_t m, const Tensor<>& b, std::int64_t n0, std::int64_t n, std::int64_t k, C* c, std::int64_t ldc) {
      const auto variant = [&](const Tensor<>& t) {  // any type that holds the integers, any strides
        const Tensor<> other = tensor_by(t.shape(), floating_types[d.between(0, 3)], [v = values_of(t), at = std::size_t{0}]() mutable { return v[at++]; });
        return d.coin() ? scattered(d, other) : other;
      };
      const Tensor<> left = variant(a), right = variant(b);
      std::vector<C> scratch(static_cast<std::size_t>(cpu::blocked::scratch_size<C>(m)));
      cpu::blocked::product<C>(source(left), m0, m, source(right), n0, n, k, c, ldc, scratch.data());
    });
}

}  // namespace

TEST_CASE("register tiles multiply exactly, for any types, strides and borders", "[kernel][matmul]") {
  check_blocked<float>(1);
  check_blocked<double>(2);
}

TEST_CASE("register tiles over several depths of k", "[kernel][matmul]") {
  Draw draw(3);
  for (const std::int64_t k : {383, 384, 385, 400, 767, 768, 769, 1921, 5000}) {
    const Tensor<> a = integer_tensor(draw, {13, k}, DType::f32, 4), b = integer_tensor(draw, {k, 21}, DType::f32, 4);
    std::vector<float> c(13 * 21), scratch(static_cast<std::size_t>(cpu::blocked::scratch_size<float>(13)));
    cpu::blocked::product<float>(source(a), 0, 13, source(b), 0, 21, k, c.data(), 21, scratch.data());
    REQUIRE(first_different(std::vector<double>(c.begin(), c.end()), reference::matmul(values_of(a), values_of(b), 1, 13, k, 21).sum) == -1);
  }
}

TEST_CASE("libraries read plain matrices where they lie, turned or not", "[kernel][matmul]") {
  Draw draw(4);
  const auto check = [&]<class C>(Type<C>) {
    if constexpr (cpu::has_library<C>)
      for (int i = 0; i < 200; ++i)
        check_exact<C>(draw, [](Draw& d, const Tensor<>& a, std::int64_t m0, std::int64_t m, const Tensor<>& b, std::int64_t n0, std::int64_t n, std::int64_t k, C* c, std::int64_t ldc) {
          const auto variant = [&](const Tensor<>& t) { return d.coin() ? transpose(op::contiguous(transpose(t, 0, 1)), 0, 1) : t; };
          const Tensor<> left = variant(a), right = variant(b);
          REQUIRE(cpu::is_plain<C>(source(left), left.size(0), left.size(1)));
          REQUIRE(cpu::library_product<C>(source(left), m0, m, source(right), n0, n, k, c, ldc));
        });
  };
  check(Type<float>{});
  check(Type<double>{});
  const Tensor<> row = integer_tensor(draw, {1, 8}, DType::f32, 4), repeated = expand(row, {5, 8});
  REQUIRE_FALSE(cpu::is_plain<float>(source(repeated), 5, 8));
  REQUIRE_FALSE(cpu::is_plain<float>(source(zeros({2, 2}, DType::bf16)), 2, 2));
}

TEST_CASE("tiles depend on the shape alone and cover it", "[kernel][matmul]") {
  for (const std::int64_t m : {1, 5, 226, 1216, 17776})
    for (const std::int64_t n : {1, 64, 1920, 12288})
      for (const bool library : {false, true}) {
        const cpu::ProductTile t = cpu::tile_for(1, m, n, library);
        CHECK(t.rows >= 1);
        CHECK(t.columns >= 1);
        CHECK(t.rows <= std::max<std::int64_t>(m, 1));
        if (m >= 226 && n >= 1920) CHECK(((m + t.rows - 1) / t.rows) * ((n + t.columns - 1) / t.columns) >= 8);
      }
}

#if KINEMA_WITH_ONEDNN
TEST_CASE("packed weights: the same product, packed once, bits independent of threads", "[kernel][matmul]") {
  Draw draw(5);
  for (const Shape& s : {Shape{5, 3, 2}, Shape{7, 64, 480}, Shape{611, 70, 483}, Shape{1300, 33, 961}}) {
    const std::int64_t m = s[0], k = s[1], n = s[2];
    const Tensor<> w = integer_tensor(draw, {n, k}, DType::f32, 8), b = integer_tensor(draw, {n}, DType::f32, 8);
    for (const std::int64_t rows : {m, m / 2 + 5}) {  // other numbers of rows share the packed weights
      const Tensor<> x = narrow(integer_tensor(draw, {rows, k + 3}, DType::f32, 8), 1, 2, k);
      auto want = reference::matmul(values_of(x), reference::transposed(values_of(w), n, k), 1, rows, k, n).sum;
      const auto bias = values_of(b);
      for (std::size_t i = 0; i < want.size(); ++i) want[i] += bias[i % static_cast<std::size_t>(n)];
      const auto packed = [&] {
        Tensor<> y = full({rows, n}, -1, DType::f32);
        cpu::linear<float>(cpu_context(), Linear{.x = x, .weight = w, .bias = b, .y = y, .activation = Activation::none}, true);
        return y;
      };
      INFO(rows << " x " << k << " -> " << n);
      REQUIRE(first_different(values_of(packed()), want) == -1);
      REQUIRE(same_for_any_threads(packed));
    }
  }
  const Tensor<> x = normal_tensor(draw, {700, 300}, DType::f32), w = normal_tensor(draw, {500, 300}, DType::f32), b = normal_tensor(draw, {500}, DType::f32);
  REQUIRE(same_for_any_threads([&] {
    Tensor<> y = empty({700, 500}, DType::f32);
    cpu::linear<float>(cpu_context(), Linear{.x = x, .weight = w, .bias = b, .y = y, .activation = Activation::gelu_tanh}, true);
    return y;
  }));
}
#endif
#endif
