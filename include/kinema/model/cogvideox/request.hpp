// kinema/model/cogvideox/request.hpp - what is asked of a pipeline, and the rules that a request must keep.
#pragma once

#include <kinema/diffusion/guidance.hpp>
#include <kinema/diffusion/sampler.hpp>
#include <kinema/model/cogvideox/geometry.hpp>
#include <kinema/model/cogvideox/vae.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::cogvideox {

enum class Rng : unsigned char { torch_cpu, philox };

/// A value: copy it, change a field, ask again. Absent fields take what the checkpoint says.
struct Request {
  std::string prompt, negative_prompt;
  std::optional<std::int64_t> num_frames, height, width;  ///< frames and pixels
  std::int64_t steps = 50;
  double guidance = 6.0;                                  ///< classifier-free guidance; none if ≤ 1
  diffusion::DynamicGuidance dynamic_guidance = diffusion::DynamicGuidance::off;
  std::optional<diffusion::SamplerKind> sampler;
  std::uint64_t seed = 42;
  Rng rng = Rng::torch_cpu;
  Tensor<> image;          ///< image-to-video: u8 [H, W, 3], any size
  Tensor<> video;          ///< video-to-video: u8 or f32 in [0, 1], [F, H, W, 3], any size
  double strength = 0.8;   ///< video-to-video: share of the steps that is run, in (0, 1]
  std::optional<VaeTile> tile;  ///< decode and encode in tiles
};

/// Stages and steps as they happen, and a question that is asked often: stop now?
struct Events {
  std::function<void(std::string_view stage, std::int64_t steps)> on_stage;
  std::function<void(std::int64_t done)> on_step;
  std::function<void(std::int64_t done, const Tensor<>& latents)> on_latents;  ///< f32 [1, F, C, h, w] after every step
  std::function<bool()> stop;

  void stage(std::string_view name, std::int64_t steps = 0) const {
    check();
    if (on_stage) on_stage(name, steps);
  }
  void step(std::int64_t done) const {
    if (on_step) on_step(done);
  }
  void latents(std::int64_t done, const Tensor<>& x) const {
    if (on_latents) on_latents(done, x);
  }
  /// Throws Interrupted if the caller wants to stop.
  void check() const {
    if (stop && stop()) throw Interrupted("interrupted");
  }
};

inline std::unique_ptr<NormalSource> make_random(Rng rng, std::uint64_t seed) {
  if (rng == Rng::philox) return std::make_unique<Generator>(seed);
  return std::make_unique<TorchCpuGenerator>(seed);
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
