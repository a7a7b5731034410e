// A sampler is what has step(prediction, x, t, random).
// must say: step
#include <kinema/diffusion/sampler.hpp>
struct Mine {
#ifdef CORRECTED
  kinema::Tensor<> step(const kinema::Tensor<>& prediction, const kinema::Tensor<>&, std::int64_t, kinema::NormalSource&) { return prediction; }
#endif
};
template <kinema::diffusion::Sampler S>
void run(S) {}
void go() { run(Mine{}); }
