// benchmarks/model/t5_bench.cpp - one layer of the text encoder at its published size, BxSxd_model.
#include "support/roofline.hpp"

#include <kinema/model/t5/encoder.hpp>

#include <memory>

namespace kinema::benchmarks {
namespace {

void t5_layer(DType dtype) {
  const t5::Config config;
  const Shape shape{1, 226, config.d_model};
  const auto block = std::make_shared<t5::Block>(config, false);
  const double parameters = static_cast<double>(nn::count_parameters(*block)), s = static_cast<double>(shape[1]), width = static_cast<double>(config.inner());
  const double matrices = parameters - 2 * static_cast<double>(config.d_model);  // without the two norms
  const Work work{2 * s * matrices + 4 * s * s * width, (parameters + 2 * static_cast<double>(shape.numel())) * static_cast<double>(size_of(dtype))};
  add(row_name("model/t5_layer", dtype, shape), work, [=] {
    std::uint64_t seed = 1;
    nn::for_each_parameter(*block, [&](const std::string&, nn::Parameter& p) { p.set(random(p.shape(), dtype, ++seed, 0.02f)); });
    const Tensor<> x = random(shape, dtype), bias = random({config.num_heads, shape[1], shape[1]}, DType::f32, 2);
    return [=] { benchmark::DoNotOptimize((*block)(x, bias).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16}) t5_layer(dtype);
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
