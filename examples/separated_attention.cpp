// examples/separated_attention.cpp - what full 3-D attention costs against spatial, then temporal attention.
//
// A clip is a tensor [B, T, S, C]: T frames of S tokens. Both designs are layers of kinema; this program fills them with
// small random weights, runs each, and prints what they see, how long they take and how much they compute.
#include <kinema/nn/attention.hpp>
#include <kinema/tensor/create.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>

using namespace kinema;

namespace {

/// Uniform numbers in [-scale, scale) from a linear congruence.
Tensor<> noise(const Shape& shape, float scale, std::uint64_t seed) {
  Tensor<> t = empty(shape, DType::f32);
  float* to = t.data<float>();
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    to[i] = (static_cast<float>(seed >> 40) / 8388608.0f - 1.0f) * scale;
  }
  return t;
}

template <class Layer>
void initialise(Layer& layer, std::int64_t c) {
  std::uint64_t seed = 1;
  nn::for_each_parameter(layer, [&](const std::string&, nn::Parameter& p) {
    p.set(noise(p.shape(), std::sqrt(3.0f / static_cast<float>(c)), ++seed));
  });
}

/// The best of three calls, in milliseconds.
template <class F>
double milliseconds(const F& call) {
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void print(const char* name, const std::string& sequences, double flops, double ms) {
  std::printf("%-22s %-22s %9.2f GFLOP %9.1f ms %8.1f GFLOP/s\n", name, sequences.c_str(), flops * 1e-9, ms, flops / ms * 1e-6);
}

}  // namespace

int main() try {
  const std::int64_t b = 1, t = 16, s = 225, c = 1152, heads = 16;
  const Tensor<> x = noise({b, t, s, c}, 1.0f, 7);
  std::printf("clip [B, T, S, C] = %s, %lld heads of %lld, %d threads\n\n", to_string(x.shape()).c_str(), static_cast<long long>(heads),
              static_cast<long long>(c / heads), cpu_context().threads);

  nn::FullAttention full(c, heads);
  nn::SeparatedAttention separated(c, heads);
  initialise(full, c);
  initialise(separated, c);

  const Tensor<> in_frames = separated.spatial(x);
  print("spatial", cat("(B T, S, C) = ", Shape{b * t, s, c}), separated.spatial.flops(x.shape()), milliseconds([&] { separated.spatial(x); }));
  print("temporal", cat("(B S, T, C) = ", Shape{b * s, t, c}), separated.temporal.flops(x.shape()), milliseconds([&] { separated.temporal(in_frames); }));
  print("separated, both", "", separated.flops(x.shape()), milliseconds([&] { separated(x); }));
  print("full 3-D", cat("(B, T S, C) = ", Shape{b, t * s, c}), full.flops(x.shape()), milliseconds([&] { full(x); }));
  std::printf("\nresults %s and %s\n", to_string(separated(x).shape()).c_str(), to_string(full(x).shape()).c_str());

  // Without the projections, which both designs have: the attention itself.
  const auto d = static_cast<double>(c);
  const double in_space = 4.0 * static_cast<double>(b * t * s * s) * d, in_time = 4.0 * static_cast<double>(b * s * t * t) * d;
  const double everything = 4.0 * static_cast<double>(b * t * s * t * s) * d;
  std::printf("attention alone: %.2f + %.2f GFLOP separated, %.2f GFLOP full: %.1f times as much\n", in_space * 1e-9, in_time * 1e-9,
              everything * 1e-9, everything / (in_space + in_time));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
