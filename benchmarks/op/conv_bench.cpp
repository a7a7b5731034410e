// benchmarks/op/conv_bench.cpp - causal convolutions at the VAE's shapes, in x out x F x H x W, with cached frames in front.
#include "support/roofline.hpp"

#include <kinema/nn/conv.hpp>

namespace kinema::benchmarks {
namespace {

void causal_conv(std::int64_t in, std::int64_t out, std::int64_t F, std::int64_t H, std::int64_t W, DType dtype) {
  const double pixels = static_cast<double>(F * H * W), i = static_cast<double>(in), o = static_cast<double>(out);
  const Work work{54.0 * i * o * pixels, ((i * static_cast<double>(F + 2) + o * static_cast<double>(F)) * static_cast<double>(H * W) + 27 * i * o) * static_cast<double>(size_of(dtype))};
  add(row_name("op/causal_conv3d", dtype, {in, out, F, H, W}), work, [=] {
    auto layer = std::make_shared<nn::CausalConv3d>(in, out, 3);
    layer->conv.weight.set(random({out, in, 3, 3, 3}, dtype, 1));
    layer->conv.bias.set(random({out}, dtype, 2));
    const op::ConvInput x = layer->input(op::blocked_shape(1, in, F, H, W), dtype, Device::cpu());
    op::to_blocked_into(x.inside, random({1, in, F, H, W}, dtype, 3));
    auto cache = std::make_shared<nn::FrameCache>();
    return [=] { benchmark::DoNotOptimize((*layer)(x, *cache).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (DType dtype : {DType::f32, DType::bf16}) {
    causal_conv(512, 512, 3, 30, 44, dtype);
    causal_conv(256, 256, 5, 60, 88, dtype);
    causal_conv(512, 512, 2, 60, 90, dtype);
    causal_conv(256, 256, 4, 60, 90, dtype);
    causal_conv(128, 128, 4, 120, 180, dtype);
    causal_conv(256, 256, 9, 120, 176, dtype);
    causal_conv(128, 128, 9, 240, 352, dtype);
  }
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
