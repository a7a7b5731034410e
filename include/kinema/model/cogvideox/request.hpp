// kinema/model/cogvideox/request.hpp - what is asked of a pipeline, and the rules that a request must keep.
#pragma once

#include <kinema/diffusion/guidance.hpp>
#include <kinema/diffusion/sampler.hpp>
#include <kinema/model/cogvideox/geometry.hpp>
#include <kinema/model/cogvideox/vae.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::cogvideox {
/// Random numbers: those of PyTorch on a CPU, or ours.
enum class Rng : unsigned char { torch_cpu, philox };

/// A value: copy it, change a field, ask again. Absent fields take what the checkpoint says.
struct Request {
  std::string prompt, negative_prompt;
  Tensor<> prompt_embeds, negative_prompt_embeds;         ///< [1, L, E] from encode_prompt(), instead of the texts
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

/// A clip between two denoising steps, as a value: all that later steps depend on beside the request and the model.
struct Denoising {
  std::int64_t skipped = 0;        ///< leading time steps of the schedule that are not run (video-to-video)
  std::int64_t done = 0;           ///< steps that were run
  Tensor<> latents;                ///< f32 [1, F, C, h, w]
  Tensor<> text;                   ///< [1, L, E], or [2, L, E] with the negative prompt first
  Tensor<> image_latents;          ///< image-to-video: f32 [1, F, C, h, w]
  diffusion::SamplerState sampler;
  std::vector<std::uint64_t> random;  ///< NormalSource::state()
};

/// What a pipeline tells while it works, on the calling thread. What a callback throws ends the call.
struct Callbacks {
  /// A stage begins: "text", "encode", "load", "denoise" or "decode", with so many steps or frames (0: not counted).
  std::function<void(std::string_view stage, std::int64_t steps)> on_stage;
  std::function<void(std::int64_t done)> on_step;
  /// Before the first denoising step and after each; copy the state to keep it.
  std::function<void(const Denoising& state)> on_state;
};
/// How long a stage took.
struct StageTime {
  std::string name;
  double seconds;
};

/// What generate() returns beside the frames.
struct Result {
  Tensor<> latents;               ///< as sample() returns them
  ClipSize size;
  std::vector<StageTime> stages;  ///< in the order in which they ran
};
/// The source of a run's noise.
inline std::unique_ptr<NormalSource> make_random(Rng rng, std::uint64_t seed) {
  if (rng == Rng::philox) return std::make_unique<Generator>(seed);
  return std::make_unique<TorchCpuGenerator>(seed);
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
