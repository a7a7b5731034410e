// kinema/diffusion/sampler.hpp - what a sampler is, and the choice between them at run time.
#pragma once

#include <kinema/diffusion/ddim.hpp>
#include <kinema/diffusion/dpm.hpp>

#include <concepts>
#include <string_view>
#include <variant>

namespace kinema::inline KINEMA_ABI::diffusion {

/// One update rule bound to one run. Research code instantiates algorithms on its own type.
template <class S>
concept Sampler = requires(S s, const Tensor<>& prediction, const Tensor<>& x, std::int64_t t, NormalSource& random) {
  { s.step(prediction, x, t, random) } -> std::convertible_to<Tensor<>>;
};
static_assert(Sampler<Ddim> && Sampler<Dpm>);
/// The update rules.
enum class SamplerKind : unsigned char { ddim, dpm };
/// As `--scheduler` spells it.
constexpr std::string_view name_of(SamplerKind k) { return k == SamplerKind::ddim ? "ddim" : "dpm"; }
/// A sampler whose rule is known at run time.
using AnySampler = std::variant<Ddim, Dpm>;
/// For a run of so many steps. Throws as Schedule::timesteps().
inline AnySampler make_sampler(SamplerKind kind, const Schedule& schedule, std::int64_t steps) {
  if (kind == SamplerKind::ddim) return Ddim(schedule, steps);
  return Dpm(schedule, steps);
}
/// One update of x from training step t: prediction, x and result f32, of one shape.
inline Tensor<> step(AnySampler& sampler, const Tensor<>& prediction, const Tensor<>& x, std::int64_t t, NormalSource& random) {
  return std::visit([&](auto& s) { return s.step(prediction, x, t, random); }, sampler);
}
/// What the next steps depend on.
inline SamplerState state_of(const AnySampler& sampler) {
  return std::visit([](const auto& s) { return s.state(); }, sampler);
}
/// Continues a run where state_of() was taken.
inline void restore(AnySampler& sampler, const SamplerState& state) {
  std::visit([&](auto& s) { s.restore(state); }, sampler);
}

}  // namespace kinema::inline KINEMA_ABI::diffusion
