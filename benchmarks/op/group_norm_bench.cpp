// benchmarks/op/group_norm_bench.cpp - group norm with SiLU and spatial norm (maps included) at the VAE's shapes, BxCxFxHxW.
#include "support/roofline.hpp"

#include <kinema/nn/group_norm.hpp>

namespace kinema::benchmarks {
namespace {

Tensor<> activation(const Shape& s, DType dtype) { return op::to_blocked(random(s, dtype, 1)); }

void group_norm_silu(const Shape& s, DType dtype) {
  const auto n = static_cast<double>(s.numel());
  add(row_name("op/group_norm_silu", dtype, s), Work{10 * n, 2 * n * static_cast<double>(size_of(dtype))}, [=] {
    const Tensor<> x = activation(s, dtype), w = random({s[1]}, dtype, 2), b = random({s[1]}, dtype, 3);
    return [=] { benchmark::DoNotOptimize(op::group_norm(x, w, b, {.groups = 32, .activation = kernel::Activation::silu}).ref().data); };
  });
}

void spatial_norm(const Shape& s, DType dtype) {
  const auto n = static_cast<double>(s.numel());
  add(row_name("op/spatial_norm", dtype, s), Work{10 * n, 2 * n * static_cast<double>(size_of(dtype))}, [=] {
    auto norm = std::make_shared<nn::SpatialNorm>(s[1], 16, 32, 1e-6);
    nn::for_each_parameter(*norm, [&](const std::string&, nn::Parameter& p) { p.set(random(p.shape(), dtype, 2)); });
    const Tensor<> x = activation(s, dtype), z = op::to_blocked(random({1, 16, 3, 30, 44}, dtype, 3));
    return [=] {
      const Tensor<> y = empty(x.shape(), x.dtype());
      norm->into(y, x, z, kernel::Activation::none);
      benchmark::DoNotOptimize(y.ref().data);
    };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Shape& s : {Shape{1, 512, 3, 30, 44}, Shape{1, 256, 5, 60, 88}, Shape{1, 128, 9, 120, 176}, Shape{1, 128, 9, 240, 352}}) {
      group_norm_silu(s, dtype);
      spatial_norm(s, dtype);
    }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
