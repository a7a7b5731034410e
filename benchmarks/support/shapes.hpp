// benchmarks/support/shapes.hpp - the sizes of the released models, row names, and inputs.
#pragma once

#include <kinema/tensor/create.hpp>

#include <string>
#include <string_view>

namespace kinema::benchmarks {

inline constexpr std::int64_t text_tokens = 226;
inline constexpr std::int64_t small_clip_tokens = 1216;   ///< 9 frames of 240 x 352: 3 x 15 x 22 patches and the text
inline constexpr std::int64_t full_clip_tokens = 17776;   ///< 49 frames of 480 x 720: 13 x 30 x 45 patches and the text

/// The expert transformer of a release.
struct Model {
  std::int64_t width, heads;
};
inline constexpr Model model_2b{1920, 30}, model_5b{3072, 48};
inline constexpr std::int64_t head_width = 64;

/// "op/attention/f32/1x1216x30x64": what a row is called; `/cpu` is added when it is registered.
inline std::string row_name(std::string_view op, DType dtype, const Shape& shape) {
  std::string name = cat(op, "/", dtype, "/");
  for (int i = 0; i < shape.rank(); ++i) name += cat(i > 0 ? "x" : "", shape[i]);
  return name;
}

/// Roughly normal numbers (the sum of four uniform ones), mean 0, variance `scale` squared; the same for the same seed.
inline Tensor<> random(const Shape& shape, DType dtype, std::uint64_t seed = 1, float scale = 1.0f) {
  Tensor<> t = empty(shape, dtype);
  dispatch_floating(dtype, "random", [&]<class T>(Type<T>) {
    T* const to = static_cast<T*>(t.ref().data);
    const std::int64_t n = t.numel();
    for (std::int64_t i = 0; i < n; ++i) {
      std::uint64_t x = (static_cast<std::uint64_t>(i) + (seed << 40)) * 0x9E3779B97F4A7C15u;
      x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
      x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
      x ^= x >> 31;
      float sum = -2.0f;
      for (int part = 0; part < 4; ++part) sum += static_cast<float>((x >> (16 * part)) & 0xffff) / 65536.0f;
      to[i] = T(sum * 1.7320508f * scale);  // each part has variance 1/12
    }
  });
  return t;
}

}  // namespace kinema::benchmarks
