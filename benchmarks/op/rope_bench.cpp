// benchmarks/op/rope_bench.cpp - layer norm and rotary embedding of queries and keys, BxSxHxD; one call does both tensors.
#include "support/roofline.hpp"

#include <kinema/op/rope.hpp>

namespace kinema::benchmarks {
namespace {

void qk_norm_rope(std::int64_t tokens, DType dtype, bool in_place) {
  const Shape shape{1, tokens, model_5b.heads, head_width};
  const auto n = static_cast<double>(shape.numel());
  const Work work{8.0 * n, 4.0 * n * static_cast<double>(size_of(dtype))};
  add(row_name(in_place ? "op/qk_norm_rope_in_place" : "op/qk_norm_rope", dtype, shape), work, [=] {
    const Tensor<> q = random(shape, dtype, 1), k = random(shape, dtype, 2);
    const Tensor<> weight = full({head_width}, 1.0, dtype), bias = full({head_width}, 0.0, dtype);
    const Tensor<> cos = random({tokens - text_tokens, head_width}, DType::f32, 3), sin = random({tokens - text_tokens, head_width}, DType::f32, 4);
    return [=] {
      for (const Tensor<>& x : {q, k}) {
        if (in_place) op::qk_norm_rope_(x, weight, bias, 1e-6, cos, sin, text_tokens);
        else benchmark::DoNotOptimize(op::qk_norm_rope(x, weight, bias, 1e-6, cos, sin, text_tokens).ref().data);
      }
    };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16})
    for (std::int64_t tokens : {small_clip_tokens, full_clip_tokens})
      for (bool in_place : {false, true}) qk_norm_rope(tokens, dtype, in_place);
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
