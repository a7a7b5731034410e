// kinema/diffusion/dpm.hpp - the stochastic second-order sampler (SDE-DPM-Solver++ 2M).
#pragma once

#include <kinema/diffusion/schedule.hpp>
#include <kinema/runtime/random.hpp>

namespace kinema::inline KINEMA_ABI::diffusion {

/// Keeps the previous step's clean sample, so one object serves one run.
/// Source: diffusers CogVideoXDPMScheduler.step; Lu et al., "DPM-Solver++", SDE variant.
class Dpm {
 public:
  Dpm(const Schedule& schedule, std::int64_t steps) : schedule_(&schedule), steps_(steps) {}

  /// x at `t` → x at the step before. Draws noise once for a first-order step (also the last, where it has no weight)
  /// and twice for a second-order one, whose first draw is discarded: the order of draws is the reference's.
  Tensor<> step(const Tensor<>& prediction, const Tensor<>& x, std::int64_t t, NormalSource& random) {
    const double now = schedule_->alpha(t), before = schedule_->previous_alpha(t, steps_);
    const double h = lambda(before) - lambda(now);
    // Limits where λ is infinite: at zero terminal SNR (now = 0) h = ∞; at the end (before = 1) the result is x₀.
    const double m1 = before >= 1 ? 0 : std::sqrt((1 - before) / (1 - now)) * std::exp(-h);
    const double m2 = std::expm1(-2 * h) * std::sqrt(before);
    const double mn = std::sqrt(1 - before) * std::sqrt(1 - std::exp(-2 * h));
    const Tensor<> clean = predicted_sample(*schedule_, prediction, x, t);

    Tensor<> noise = random.normal(x.shape());
    Tensor<> next;
    if (!previous_.clean || schedule_->previous_step(t, steps_) < 0) {
      next = op::combine({m1, -m2, mn}, {x, clean, noise});
    } else {
      const double r = (lambda(now) - lambda(schedule_->alpha(*previous_.t))) / h;  // ∞ after a first step at ᾱ = 0
      const double m4 = 1 / (2 * r), m3 = 1 + m4;
      noise = random.normal(x.shape());
      next = op::combine({m1, -m2 * m3, m2 * m4, mn}, {x, clean, previous_.clean, noise});
    }
    previous_ = {clean, t};
    return next;
  }
  SamplerState state() const { return previous_; }
  /// Throws ArgumentError for a clean sample without its time step, or the reverse.
  void restore(const SamplerState& state) {
    if (static_cast<bool>(state.clean) != state.t.has_value()) throw ArgumentError("dpm: a clean sample and its time step belong together");
    if (state.t && (*state.t < -1 || *state.t >= schedule_->train_steps()))
      throw ArgumentError(cat("dpm: the previous time step must be -1 to ", schedule_->train_steps() - 1, ", got ", *state.t));
    previous_ = state;
  }

 private:
  /// Half the log signal-to-noise ratio.
  static double lambda(double alpha) { return std::log(std::sqrt(alpha / (1 - alpha))); }

  const Schedule* schedule_;
  std::int64_t steps_;
  SamplerState previous_;
};

}  // namespace kinema::inline KINEMA_ABI::diffusion
