// benchmarks/op/attention_bench.cpp - attention at the models' shapes, BxSxHxD, and the shapes of separated attention.
#include "support/roofline.hpp"

#include <kinema/op/attention.hpp>

namespace kinema::benchmarks {
namespace {

void attention(std::string_view op, const Shape& shape, DType dtype) {
  const auto b = static_cast<double>(shape[0]), s = static_cast<double>(shape[1]), hd = static_cast<double>(shape[2] * shape[3]);
  const Work work{4.0 * b * s * s * hd, 4.0 * b * s * hd * static_cast<double>(size_of(dtype))};
  add(row_name(op, dtype, shape), work, [=] {
    const Tensor<> q = random(shape, dtype, 1), k = random(shape, dtype, 2), v = random(shape, dtype, 3);
    return [=] { benchmark::DoNotOptimize(op::attention(q, k, v).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16}) {
    attention("op/attention", {1, small_clip_tokens, model_2b.heads, head_width}, dtype);
    attention("op/attention", {1, 4096, 4, head_width}, dtype);
    attention("op/attention", {1, full_clip_tokens, 2, head_width}, dtype);
    attention("op/attention_spatial", {16, 225, 16, 72}, dtype);
    attention("op/attention_temporal", {225, 16, 16, 72}, dtype);
    attention("op/attention_full", {1, 3600, 16, 72}, dtype);
  }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
