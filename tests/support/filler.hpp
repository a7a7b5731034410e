// tests/support/filler.hpp - deterministic numbers from names: the weights and inputs of the golden fixtures.
//
// The fixtures store what the reference implementation computed, not what it was fed: every weight is a
// function of its state-dict key and every input of its name. tests/golden/maker/filler.py is the same in
// Python and both agree in every bit, whatever the compiler's flags. The fixtures were made from the values
// rounded to float, so cast before use.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>

namespace kinema::test {

/// Output `i` of splitmix64, started at the FNV-1a hash of the name.
constexpr std::uint64_t filler_bits(std::string_view name, std::uint64_t i) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::uint64_t z = h + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// In [0, 1), a multiple of 2^-24.
constexpr double filler_uniform(std::string_view name, std::uint64_t i) {
  return static_cast<double>(filler_bits(name, i) >> 40) / 16777216.0;
}

/// Element `i` (row-major) of the parameter with this state-dict key: norm weights in [0.9, 1.1), biases in
/// [-0.1, 0.1), matrices and kernels uniform with variance 1/fan_in.
inline double filler_parameter(std::string_view name, std::span<const std::int64_t> shape, std::uint64_t i) {
  const double centred = filler_uniform(name, i) - 0.5;
  if (shape.size() == 1 || name == "patch_embed.pos_embedding") {
    // volatile: a compiler that fuses the multiplication into the addition below would round once, Python rounds twice.
    volatile double small = 0.2 * centred;
    const bool is_weight = name == "weight" || name.ends_with(".weight");
    return shape.size() == 1 && is_weight ? 1.0 + small : small;
  }
  double fan_in = 1.0;
  for (const std::int64_t size : shape.subspan(1)) fan_in *= static_cast<double>(size);
  return centred * 2.0 * std::sqrt(3.0 / fan_in);
}

/// Element `i` of the input with this name: mean 0, variance 1.
inline double filler_input(std::string_view name, std::uint64_t i) {
  return (filler_uniform(name, i) - 0.5) * std::sqrt(12.0);
}

/// Byte `i` of the picture or video with this name, [.., H, W, 3].
constexpr std::uint8_t filler_pixel(std::string_view name, std::uint64_t i) {
  return static_cast<std::uint8_t>(filler_bits(name, i) >> 56);
}

}  // namespace kinema::test
