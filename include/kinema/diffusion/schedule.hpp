// kinema/diffusion/schedule.hpp - the noise schedule: betas, SNR shift, zero terminal SNR, time steps.
//
// Coefficients are f64 throughout, as in the reference; only tensors are f32.
#pragma once

#include <kinema/core/error.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/tensor/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::diffusion {
/// What the network predicts.
enum class Prediction : unsigned char { epsilon, sample, velocity };
/// How steps are spread over the training steps.
enum class Spacing : unsigned char { trailing, leading, linspace };

/// Fields of scheduler_config.json with the reference's class defaults (not the published values).
/// Source: diffusers CogVideoXDDIMScheduler.__init__.
struct SchedulerConfig {
  std::int64_t num_train_timesteps = 1000;
  double beta_start = 0.00085, beta_end = 0.012;
  std::string beta_schedule = "scaled_linear";
  std::optional<std::vector<double>> trained_betas;
  std::string prediction_type = "epsilon", timestep_spacing = "leading";
  bool rescale_betas_zero_snr = false, set_alpha_to_one = true;
  std::int64_t steps_offset = 0;
  double snr_shift_scale = 3.0;
};
/// By its name in scheduler_config.json. Throws ConfigError.
inline Prediction prediction_of(std::string_view name) {
  if (name == "v_prediction") return Prediction::velocity;
  if (name == "epsilon") return Prediction::epsilon;
  if (name == "sample") return Prediction::sample;
  throw ConfigError(cat("prediction_type: must be v_prediction, epsilon or sample, got \"", printable(name), "\""));
}
/// By its name in scheduler_config.json. Throws ConfigError.
inline Spacing spacing_of(std::string_view name) {
  if (name == "trailing") return Spacing::trailing;
  if (name == "leading") return Spacing::leading;
  if (name == "linspace") return Spacing::linspace;
  throw ConfigError(cat("timestep_spacing: must be trailing, leading or linspace, got \"", printable(name), "\""));
}

/// Throws ConfigError, naming the field, its value and what is allowed.
inline void validate(const SchedulerConfig& c) {
  if (c.num_train_timesteps < 2 || c.num_train_timesteps > 1'000'000)
    throw ConfigError(cat("num_train_timesteps: must be 2 to 1000000, got ", c.num_train_timesteps));
  const auto beta = [](std::string_view name, double b) {
    if (!(b > 0 && b < 1)) throw ConfigError(cat(name, ": must lie between 0 and 1, got ", b));
  };
  if (c.trained_betas) {
    if (static_cast<std::int64_t>(c.trained_betas->size()) != c.num_train_timesteps)
      throw ConfigError(cat("trained_betas: must have num_train_timesteps (", c.num_train_timesteps, ") values, got ", c.trained_betas->size()));
    for (double b : *c.trained_betas) beta("trained_betas", b);
  }
  beta("beta_start", c.beta_start);
  beta("beta_end", c.beta_end);
  if (c.beta_schedule != "scaled_linear" && c.beta_schedule != "linear" && c.beta_schedule != "squaredcos_cap_v2")
    throw ConfigError(cat("beta_schedule: must be scaled_linear, linear or squaredcos_cap_v2, got \"", printable(c.beta_schedule), "\""));
  prediction_of(c.prediction_type);
  spacing_of(c.timestep_spacing);
  if (c.steps_offset < 0 || c.steps_offset >= c.num_train_timesteps)
    throw ConfigError(cat("steps_offset: must be 0 to ", c.num_train_timesteps - 1, ", got ", c.steps_offset));
  if (!(c.snr_shift_scale > 0 && c.snr_shift_scale < 1e6)) throw ConfigError(cat("snr_shift_scale: must be a positive number, got ", c.snr_shift_scale));
}

/// The cumulative products ᾱ_t and everything that is read from them.
class Schedule {
 public:
  /// Throws ConfigError for a configuration that is out of range.
  explicit Schedule(const SchedulerConfig& c) : config_((validate(c), c)), prediction_(prediction_of(c.prediction_type)) {
    // The reference keeps this one schedule in f64 and all others in f32, and tables of small numbers show it.
    if (!c.trained_betas && c.beta_schedule == "scaled_linear")
      fill_table<double>();
    else
      fill_table<float>();
    final_alpha_ = c.set_alpha_to_one ? 1.0 : alphas_[0];
  }

  const SchedulerConfig& config() const { return config_; }
  Prediction prediction() const { return prediction_; }
  std::int64_t train_steps() const { return config_.num_train_timesteps; }
  const std::vector<double>& alphas() const { return alphas_; }

  /// ᾱ at a time step; −1 wraps to the last entry, as the reference's table look-up does.
  double alpha(std::int64_t t) const { return alphas_[static_cast<std::size_t>(t < 0 ? t + train_steps() : t)]; }
  /// ᾱ at the step before t in a run of `steps`: t − floor(T / steps), and 1 (or ᾱ_0) beyond the start.
  double previous_alpha(std::int64_t t, std::int64_t steps) const {
    const std::int64_t previous = previous_step(t, steps);
    return previous >= 0 ? alpha(previous) : final_alpha_;
  }
  std::int64_t previous_step(std::int64_t t, std::int64_t steps) const { return t - train_steps() / steps; }

  /// Time steps of a run, largest first. Replicates the reference's arithmetic, also where N does not divide T: trailing
  /// spacing then yields one entry more, −1, for some N. Throws ArgumentError unless 1 ≤ steps ≤ T.
  std::vector<std::int64_t> timesteps(std::int64_t steps) const {
    if (steps < 1 || steps > train_steps()) throw ArgumentError(cat("steps: must be 1 to ", train_steps(), ", got ", steps));
    const auto total = static_cast<double>(train_steps()), n = static_cast<double>(steps);
    std::vector<std::int64_t> t;
    switch (spacing_of(config_.timestep_spacing)) {
      case Spacing::trailing: {
        // numpy.arange(T, 0, -T/N): ceil of the length, then start + i·step, with the step as it comes out of the first two entries
        const double step = -(total / n), rounded = (total + step) - total;
        const auto count = static_cast<std::int64_t>(std::ceil((0 - total) / step));
        for (std::int64_t i = 0; i < count; ++i) t.push_back(static_cast<std::int64_t>(std::nearbyint(total + static_cast<double>(i) * rounded)) - 1);
        break;
      }
      case Spacing::leading:
        for (std::int64_t i = steps - 1; i >= 0; --i) t.push_back(i * (train_steps() / steps) + config_.steps_offset);
        break;
      case Spacing::linspace:
        for (std::int64_t i = steps - 1; i >= 0; --i)
          t.push_back(steps == 1 ? 0 : static_cast<std::int64_t>(std::nearbyint(i == steps - 1 ? total - 1 : static_cast<double>(i) * ((total - 1) / (n - 1)))));
        break;
    }
    for (std::int64_t entry : t)
      if (entry >= train_steps()) throw ArgumentError(cat("steps: time step ", entry, " lies beyond ", train_steps() - 1, " (steps_offset ", config_.steps_offset, ")"));
    return t;
  }

 private:
  /// ᾱ_t = Π (1 − β), shifted and rescaled, every step rounded to T. Source of the rescaling: Lin et al., "Common
  /// diffusion noise schedules and sample steps are flawed", algorithm 1.
  template <class T>
  void fill_table() {
    const T shift = static_cast<T>(config_.snr_shift_scale), one = 1;
    double product = 1;  // the reference sums and multiplies up in f64 too
    for (std::int64_t i = 0; i < train_steps(); ++i) {
      product *= one - static_cast<T>(beta(i));
      const T a = static_cast<T>(product);
      alphas_.push_back(a / (shift + static_cast<T>(1 - config_.snr_shift_scale) * a));
    }
    if (!config_.rescale_betas_zero_snr) return;
    const T first = std::sqrt(static_cast<T>(alphas_.front())), last = std::sqrt(static_cast<T>(alphas_.back()));
    for (double& a : alphas_) {
      const T q = (std::sqrt(static_cast<T>(a)) - last) * (first / (first - last));
      a = q * q;
    }
  }
  double beta(std::int64_t i) const {
    if (config_.trained_betas) return (*config_.trained_betas)[static_cast<std::size_t>(i)];
    const auto at = static_cast<double>(i), total = static_cast<double>(train_steps());
    if (config_.beta_schedule == "linear") return config_.beta_start + at / (total - 1) * (config_.beta_end - config_.beta_start);
    if (config_.beta_schedule == "squaredcos_cap_v2") {  // Nichol and Dhariwal's, capped
      const auto bar = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2), 2); };
      return std::min(1 - bar((at + 1) / total) / bar(at / total), 0.999);
    }
    const double from = std::sqrt(config_.beta_start), to = std::sqrt(config_.beta_end), root = from + at / (total - 1) * (to - from);
    return root * root;
  }

  SchedulerConfig config_;
  Prediction prediction_;
  std::vector<double> alphas_;
  double final_alpha_ = 1;
};

/// What a sampler remembers from one step to the next; empty before the first.
struct SamplerState {
  Tensor<> clean;                 ///< the last step's clean sample; none for samplers that look at one step only
  std::optional<std::int64_t> t;  ///< its time step
};

/// The clean sample behind a prediction at a time step: √ᾱ x − √(1−ᾱ) v for velocities.
inline Tensor<> predicted_sample(const Schedule& s, const Tensor<>& prediction, const Tensor<>& x, std::int64_t t) {
  const double a = s.alpha(t);
  switch (s.prediction()) {
    case Prediction::velocity: return op::combine({std::sqrt(a), -std::sqrt(1 - a)}, {x, prediction});
    case Prediction::epsilon: return op::combine({1 / std::sqrt(a), -std::sqrt(1 - a) / std::sqrt(a)}, {x, prediction});
    default: return prediction;
  }
}

/// √ᾱ x₀ + √(1−ᾱ) ε
inline Tensor<> add_noise(const Schedule& s, const Tensor<>& clean, const Tensor<>& noise, std::int64_t t) {
  return op::combine({std::sqrt(s.alpha(t)), std::sqrt(1 - s.alpha(t))}, {clean, noise});
}

/// √ᾱ ε − √(1−ᾱ) x₀: what a velocity model is trained to predict.
inline Tensor<> velocity(const Schedule& s, const Tensor<>& clean, const Tensor<>& noise, std::int64_t t) {
  return op::combine({std::sqrt(s.alpha(t)), -std::sqrt(1 - s.alpha(t))}, {noise, clean});
}

}  // namespace kinema::inline KINEMA_ABI::diffusion
