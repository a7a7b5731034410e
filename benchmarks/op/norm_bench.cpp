// benchmarks/op/norm_bench.cpp - layer norm, alone and modulated, and the gated residual: BxSxC, text and video in one sequence.
#include "support/roofline.hpp"

#include <kinema/op/elementwise.hpp>
#include <kinema/op/norm.hpp>

namespace kinema::benchmarks {
namespace {

Tensor<> text_and_video(std::int64_t tokens) { return tensor_of(std::vector<std::int64_t>{text_tokens, 1, tokens, 0}, {2, 2}); }

/// So many passes over the activation; eight operations per element, give or take.
Work moved(const Shape& shape, DType dtype, double passes) {
  const auto n = static_cast<double>(shape.numel());
  return {8 * n, passes * n * static_cast<double>(size_of(dtype))};
}

void rows(std::int64_t tokens, std::int64_t width, DType dtype) {
  const Shape shape{1, tokens, width};
  add(row_name("op/layer_norm", dtype, shape), moved(shape, dtype, 2), [=] {
    const Tensor<> x = random(shape, dtype, 1), w = random({width}, dtype, 2), b = random({width}, dtype, 3);
    return [=] { benchmark::DoNotOptimize(op::layer_norm(x, w, b).ref().data); };
  });
  add(row_name("op/ada_layer_norm", dtype, shape), moved(shape, dtype, 2), [=] {
    const Tensor<> x = random(shape, dtype, 1), w = random({width}, dtype, 2), b = random({width}, dtype, 3);
    const Tensor<> shift = random({1, 2, width}, dtype, 4), scale = random({1, 2, width}, dtype, 5), runs = text_and_video(tokens);
    return [=] { benchmark::DoNotOptimize(op::ada_layer_norm(x, w, b, shift, scale, runs).ref().data); };
  });
  const auto gated = [=](bool in_place) {
    add(row_name(in_place ? "op/gate_residual_in_place" : "op/gate_residual", dtype, shape), moved(shape, dtype, 3), [=] {
      const Tensor<> r = random(shape, dtype, 1), x = random(shape, dtype, 2, 1e-6f), gate = random({1, 2, width}, dtype, 3), runs = text_and_video(tokens);
      return [=] {
        if (in_place) op::gate_residual_(r, x, gate, runs);
        else benchmark::DoNotOptimize(op::gate_residual(r, x, gate, runs).ref().data);
      };
    });
  };
  gated(false);
  gated(true);
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16}) {
    rows(small_clip_tokens, model_2b.width, dtype);
    rows(full_clip_tokens, model_2b.width, dtype);
    rows(full_clip_tokens, model_5b.width, dtype);
  }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
