// benchmarks/op/matmul_bench.cpp - the fully connected products of the transformer: rows x in x out, with bias.
#include "support/roofline.hpp"

#include <kinema/op/matmul.hpp>

namespace kinema::benchmarks {
namespace {

void linear(std::int64_t rows, std::int64_t in, std::int64_t out, DType dtype, bool gelu) {
  const double m = static_cast<double>(rows), k = static_cast<double>(in), n = static_cast<double>(out);
  const Work work{2 * m * k * n, (m * k + k * n + m * n) * static_cast<double>(size_of(dtype))};
  add(row_name(gelu ? "op/linear_gelu" : "op/linear", dtype, {rows, in, out}), work, [=] {
    const Tensor<> x = random({rows, in}, dtype, 1), w = random({out, in}, dtype, 2, 0.02f), b = random({out}, dtype, 3);
    const auto activation = gelu ? kernel::Activation::gelu_tanh : kernel::Activation::none;
    return [=] { benchmark::DoNotOptimize(op::linear(x, w, b, activation).ref().data); };
  });
}

/// f32 activations with weights as they lie in the published files, and vectors that modulate a block.
void linear_from_bf16(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const double m = static_cast<double>(rows), k = static_cast<double>(in), n = static_cast<double>(out);
  add(row_name("op/linear_bf16_weight", DType::f32, {rows, in, out}), {2 * m * k * n, 4 * (m * k + m * n) + 2 * k * n}, [=] {
    const Tensor<> x = random({rows, in}, DType::f32, 1), w = random({out, in}, DType::bf16, 2, 0.02f), b = random({out}, DType::bf16, 3);
    return [=] { benchmark::DoNotOptimize(op::linear(x, w, b).ref().data); };
  });
}

/// Weights as 8-bit integers: a quarter of the memory of f32, widened panel by panel.
void linear_int8(std::int64_t rows, std::int64_t in, std::int64_t out, DType dtype) {
  const double m = static_cast<double>(rows), k = static_cast<double>(in), n = static_cast<double>(out);
  add(row_name("op/linear_int8_weight", dtype, {rows, in, out}), {2 * m * k * n, static_cast<double>(size_of(dtype)) * (m * k + m * n) + k * n}, [=] {
    const Tensor<> x = random({rows, in}, dtype, 1), b = random({out}, DType::f32, 3);
    const op::QuantizedRows w = op::quantize_rows(random({out, in}, DType::f32, 2, 0.02f));
    return [=] { benchmark::DoNotOptimize(op::linear(x, w.integers, b, kernel::Activation::none, w.scale).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16})
    for (std::int64_t rows : {small_clip_tokens, std::int64_t{4096}}) {
      linear(rows, 1920, 5760, dtype, false);
      linear(rows, 1920, 7680, dtype, true);
      linear(rows, 7680, 1920, dtype, false);
      linear(rows, 3072, 12288, dtype, false);
    }
  linear_from_bf16(small_clip_tokens, 1920, 5760);
  linear_from_bf16(text_tokens, 4096, 10240);
  for (DType dtype : {DType::f32, DType::bf16}) {
    linear_int8(small_clip_tokens, 1920, 5760, dtype);
    linear_int8(small_clip_tokens, 7680, 1920, dtype);
    linear_int8(4096, 1920, 7680, dtype);
    linear_int8(text_tokens, 4096, 10240, dtype);
    linear_int8(2, 512, 18432, dtype);
  }
  linear(text_tokens, 4096, 10240, DType::f32, false);
  for (DType dtype : {DType::f32, DType::bf16}) linear(2, 512, 18432, dtype, false);
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
