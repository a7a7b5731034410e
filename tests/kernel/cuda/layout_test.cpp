// tests/kernel/cuda/layout_test.cpp - the CUDA copy between windows, run on the CPU.
#include <kinema/kernel/cuda/layout.cuh>

#include "kernel/cuda/on_host.hpp"
#include "support/catch.hpp"

using namespace on_host;

namespace {

CudaContext ctx;

Tensor<> integers(const Shape& shape, DType dtype, unsigned seed) {
  const Tensor<> t = random(shape, dtype, seed);
  for (std::int64_t i = 0; i < t.numel(); ++i) write(t, i, static_cast<double>(i % 251));
  return t;
}

}  // namespace

TEST_CASE("copies between windows move every element, with and without conversion") {
  const int reverse[] = {2, 1, 0};
  for (const DType from : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (const DType to : {DType::f32, DType::bf16, DType::f16, DType::f64})
      for (const std::int64_t c : {1, 5, 16, 40}) {
        CAPTURE(name_of(from), name_of(to), c);
        const Tensor<> source = integers({3, 4, c}, from, 16);
        const Tensor<> plain = random({3, 4, c}, to, 17), wide = narrowed(random({3, 4, c + 8}, to, 18), 2, 8, c), turned = permuted(random({c, 4, 3}, to, 19), reverse);
        for (const Tensor<>& y : {plain, wide, turned}) {
          run(ctx, kernel::Copy{source, y});
          CHECK(error(y, values(source)) == 0);
          run(ctx, kernel::Copy{permuted(permuted(source, reverse), reverse), y});
          CHECK(error(y, values(source)) == 0);
        }
      }
  const Tensor<> ids = tensor_of<std::int64_t>({1, 2, 3, 4, 5, 6}), mask = zeros({6}, DType::boolean);
  const Tensor<> there = zeros({6}, DType::i64);
  run(ctx, kernel::Copy{ids, there});
  CHECK(values(there) == std::vector<double>{1, 2, 3, 4, 5, 6});
  run(ctx, kernel::Copy{mask, zeros({6}, DType::boolean)});
  CHECK_THROWS_AS(run(ctx, kernel::Copy{ids, mask}), DTypeError);
}
