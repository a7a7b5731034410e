// benchmarks/nn/attention_bench.cpp - full 3-D attention against spatial and temporal attention, projections included.
#include "support/roofline.hpp"

#include <kinema/nn/attention.hpp>

#include <memory>

namespace kinema::benchmarks {
namespace {

template <class Layer>
void layer(std::string_view name, DType dtype) {
  constexpr std::int64_t heads = 16, width = 1152;
  const Shape clip{1, 16, 225, width};  // [B, T, S, C]
  const auto shared = std::make_shared<Layer>(width, heads);
  const double parameters = static_cast<double>(nn::count_parameters(*shared)), elements = static_cast<double>(clip.numel());
  const Work work{shared->flops(clip), (parameters + 2 * elements) * static_cast<double>(size_of(dtype))};
  add(row_name(name, dtype, clip), work, [=] {
    std::uint64_t seed = 1;
    nn::for_each_parameter(*shared, [&](const std::string&, nn::Parameter& p) { p.set(random(p.shape(), dtype, ++seed, 0.03f)); });
    const Tensor<> x = random(clip, dtype);
    return [=] { benchmark::DoNotOptimize((*shared)(x).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16}) {
    layer<nn::SpatialAttention>("nn/spatial_attention", dtype);
    layer<nn::TemporalAttention>("nn/temporal_attention", dtype);
    layer<nn::SeparatedAttention>("nn/separated_attention", dtype);
    layer<nn::FullAttention>("nn/full_attention", dtype);
  }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
