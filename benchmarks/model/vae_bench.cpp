// benchmarks/model/vae_bench.cpp - the published VAE with random weights, frames x height x width of the video.
//
// FLOPs are counted as the reference spends them; the decoder spends fewer (upsampling convolutions on the small side).
#include "support/roofline.hpp"

#include <kinema/model/cogvideox/vae.hpp>

namespace kinema::benchmarks {
namespace {

struct Flops {  ///< of one clip, summed over its chunks, from the reference implementation by torch's counter
  std::int64_t frames, height, width;
  double encode, decode;
};

std::shared_ptr<cogvideox::Vae> random_vae(DType dtype) {
  auto vae = std::make_shared<cogvideox::Vae>(cogvideox::VaeConfig{});
  nn::for_each_parameter(*vae, [&](const std::string&, nn::Parameter& p) {
    const double fan_in = static_cast<double>(p.shape().numel() / std::max<std::int64_t>(1, p.shape()[0]));
    p.set(random(p.shape(), dtype, 1, p.shape().rank() > 1 ? static_cast<float>(1 / std::sqrt(fan_in)) : 1.0f));
  });
  return vae;
}

void vae(const Flops& f, bool encode, DType dtype) {
  const std::int64_t t = (f.frames - 1) / 4 + 1;
  const double weights = encode ? 92'215'456.0 : 123'368'451.0, pixels = static_cast<double>(f.frames * f.height * f.width);
  const Work work{encode ? f.encode : f.decode, (weights + 16 * pixels / 256 + 3 * pixels) * static_cast<double>(size_of(dtype))};
  if (work.flops == 0) return;
  add(row_name(encode ? "model/vae_encode" : "model/vae_decode", dtype, {f.frames, f.height, f.width}), work, [=] {
    const auto model = random_vae(dtype);
    const Tensor<> x = encode ? random({1, 3, f.frames, f.height, f.width}, dtype, 2) : random({1, 16, t, f.height / 8, f.width / 8}, dtype, 2);
    return [=] { benchmark::DoNotOptimize((encode ? model->encode(x) : model->decode(x)).ref().data); };
  });
}

[[maybe_unused]] const bool registered = [] {
  for (const Flops& f : {Flops{9, 32, 48, 128038600704.0, 261122949120.0}, Flops{17, 32, 48, 0, 488923201536.0}, Flops{33, 32, 48, 0, 944523706368.0},
                         Flops{9, 240, 352, 7042123038720.0, 14361762201600.0}})
    for (DType dtype : {DType::f32, DType::bf16}) vae(f, false, dtype), vae(f, true, dtype);
  return true;
}();

}  // namespace
}  // namespace kinema::benchmarks
