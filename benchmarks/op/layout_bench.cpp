// benchmarks/op/layout_bench.cpp - from latents to tokens: BxFx16xHxW, 2x2 patches projected to the width of the 2B model.
#include "support/roofline.hpp"

#include <kinema/op/layout.hpp>
#include <kinema/op/matmul.hpp>

namespace kinema::benchmarks {
namespace {

void patchify(std::int64_t f, std::int64_t h, std::int64_t w, DType dtype) {
  const Shape shape{1, f, 16, h, w};
  const double tokens = static_cast<double>(f * h * w / 4), width = static_cast<double>(model_2b.width), features = 64;
  const Work work{2 * tokens * features * width, tokens * (features + width) * static_cast<double>(size_of(dtype))};
  add(row_name("op/patchify", dtype, shape), work, [=] {
    const Tensor<> x = random(shape, dtype, 1), weight = random({model_2b.width, 64}, dtype, 2), b = random({model_2b.width}, dtype, 3);
    return [=] { benchmark::DoNotOptimize(op::linear(op::patchify(x, 1, 2, 2), weight, b).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16}) {
    patchify(3, 30, 44, dtype);
    patchify(13, 60, 90, dtype);
  }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
