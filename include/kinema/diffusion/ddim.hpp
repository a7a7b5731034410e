// kinema/diffusion/ddim.hpp - the deterministic sampler (DDIM, η = 0).
#pragma once

#include <kinema/diffusion/schedule.hpp>
#include <kinema/runtime/random.hpp>

#include <utility>

namespace kinema::inline KINEMA_ABI::diffusion {

/// Source: diffusers CogVideoXDDIMScheduler.step; Song et al., "Denoising diffusion implicit models", eq. 12.
class Ddim {
 public:
  /// `steps` is the length of the full run, also when only its tail is executed (video-to-video).
  Ddim(const Schedule& schedule, std::int64_t steps) : schedule_(&schedule), steps_(steps) {}

  /// x at time step `t` → x at the step before; draws nothing.
  Tensor<> step(const Tensor<>& prediction, const Tensor<>& x, std::int64_t t, NormalSource&) {
    const double now = schedule_->alpha(t), before = schedule_->previous_alpha(t, steps_);
    const double a = std::sqrt((1 - before) / (1 - now)), b = std::sqrt(before) - std::sqrt(now) * a;
    return op::combine({a, b}, {x, predicted_sample(*schedule_, prediction, x, t)});
  }
  SamplerState state() const { return {}; }
  void restore(const SamplerState&) {}

 private:
  const Schedule* schedule_;
  std::int64_t steps_;
};

}  // namespace kinema::inline KINEMA_ABI::diffusion
