// kinema/diffusion/guidance.hpp - classifier-free guidance and its two schedules.
#pragma once

#include <kinema/op/elementwise.hpp>

#include <cmath>
#include <cstdint>
#include <string_view>

namespace kinema::inline KINEMA_ABI::diffusion {
/// Whether and how guidance changes over the steps.
enum class DynamicGuidance : unsigned char { off, reference, cosine };
/// As `--dynamic-cfg` spells it.
constexpr std::string_view name_of(DynamicGuidance how) {
  return how == DynamicGuidance::reference ? "reference" : how == DynamicGuidance::cosine ? "cosine" : "off";
}

/// u + g (c − u): towards the prompt (c), away from the negative prompt (u).
inline Tensor<> guide(const Tensor<>& unconditional, const Tensor<>& conditional, double scale) {
  return op::combine({1 - scale, scale}, {unconditional, conditional});
}

/// Guidance of one step.
///   t: the training time step (999 … 0); index and steps: the position in the run.
/// off: g. reference: 1 + g (1 − cos(π ((N − t)/N)^5)) / 2 with the raw time step, as the reference evaluates it (a
/// pseudo-random value in [1, 1 + g]; source: diffusers CogVideoXPipeline, use_dynamic_cfg).
/// cosine: 1 + (g − 1)(1 − cos(π i/(N−1))) / 2 with the step index i: rises
/// smoothly from 1 at the first step to g at the last.
inline double guidance_at(DynamicGuidance how, double g, std::int64_t t, std::int64_t index, std::int64_t steps) {
  constexpr double pi = 3.141592653589793;
  if (how == DynamicGuidance::reference) {
    const double x = static_cast<double>(steps - t) / static_cast<double>(steps);
    return 1 + g * (1 - std::cos(pi * std::pow(x, 5.0))) / 2;
  }
  if (how == DynamicGuidance::cosine) {
    const double x = steps > 1 ? static_cast<double>(index) / static_cast<double>(steps - 1) : 1.0;
    return 1 + (g - 1) * (1 - std::cos(pi * x)) / 2;
  }
  return g;
}

}  // namespace kinema::inline KINEMA_ABI::diffusion
