// kinema/model/cogvideox/preview.hpp - what latents look like, in microseconds: a linear map from latents to colours.
//
// Each latent vector stands for 8x8 pixels of some frames, and their mean colour is nearly a linear function of it. The
// map is fitted to the VAE at hand: a clip of random rectangles is encoded once, and least squares do the rest. Latents of
// pictures rather than random ones, because those are no latents that a clip has.
#pragma once

#include <kinema/model/cogvideox/vae.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/runtime/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace kinema::inline KINEMA_ABI::cogvideox {
/// The linear map from latents to colours that fits a VAE best (least squares on random rectangles).
class LatentPreview {
 public:
  /// Encodes five frames of 192x192 pixels. The same map for the same VAE, every time.
  explicit LatentPreview(const Vae& vae, DType dtype = DType::f32) : channels_(vae.config().latent_channels) {
    const Tensor<> clip = random_rectangles();
    const Posterior posterior(op::cast(vae.encode(op::cast(clip, dtype)), DType::f32));
    fit(op::scale(posterior.mode(), vae.config().scaling_factor), clip, vae.config().space_factor());
  }

  /// Colours of latents f32 [1, F, L, h, w] as Pipeline::sample() returns them: u8 [F, h, w, 3].
  Tensor<> operator()(const Tensor<>& latents) const {
    Expect{"preview"}("latents", latents).rank(5).size(0, 1).size(2, channels_).dtype(DType::f32);
    const std::int64_t frames = latents.size(1), h = latents.size(3), w = latents.size(4);
    Tensor<> out = empty({frames, h, w, 3}, DType::u8);
    const auto z = latents.view<const float, 5>();
    const auto to = out.view<std::uint8_t, 4>();
    for (std::int64_t f = 0; f < frames; ++f)
      for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; ++x)
          for (std::size_t colour = 0; colour < 3; ++colour) {
            double v = map_[colour].back();
            for (std::int64_t c = 0; c < channels_; ++c) v += map_[colour][static_cast<std::size_t>(c)] * static_cast<double>(z(0, f, c, y, x));
            to(f, y, x, static_cast<std::int64_t>(colour)) = static_cast<std::uint8_t>(std::lround(std::clamp(v, 0.0, 1.0) * 255));
          }
    return out;
  }

 private:
  static constexpr std::int64_t side = 192, still_frames = 5;

  /// A still clip [1, 3, 5, side, side] in [-1, 1] of rectangles in random places, sizes and colours.
  static Tensor<> random_rectangles() {
    const Tensor<> clip = zeros({1, 3, still_frames, side, side}, DType::f32);
    const auto to = clip.view<float, 5>();
    Generator random(0);
    const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random.uniform() * static_cast<double>(n)); };
    for (int i = 0; i < 150; ++i) {
      const std::int64_t h = 8 + below(64), w = 8 + below(64), top = below(side - h), left = below(side - w);
      for (std::int64_t c = 0; c < 3; ++c) {
        const auto colour = static_cast<float>(random.uniform() * 2 - 1);
        for (std::int64_t f = 0; f < still_frames; ++f)
          for (std::int64_t y = top; y < top + h; ++y)
            for (std::int64_t x = left; x < left + w; ++x) to(0, c, f, y, x) = colour;
      }
    }
    return clip;
  }

  /// Least squares of the mean colour of each block of pixels on its latent vector and a constant.
  void fit(const Tensor<>& latents, const Tensor<>& clip, std::int64_t factor) {
    const auto n = static_cast<std::size_t>(channels_ + 1);
    std::vector<std::vector<double>> a(n, std::vector<double>(n + 3, 0.0));  // normal equations, one right side per colour
    const auto z = latents.view<const float, 5>();
    const auto p = clip.view<const float, 5>();
    std::vector<double> row(n, 1.0);
    for (std::int64_t f = 0; f < latents.size(2); ++f)
      for (std::int64_t y = 0; y < latents.size(3); ++y)
        for (std::int64_t x = 0; x < latents.size(4); ++x) {
          for (std::int64_t c = 0; c < channels_; ++c) row[static_cast<std::size_t>(c)] = static_cast<double>(z(0, c, f, y, x));
          std::array<double, 3> mean{};
          for (std::size_t colour = 0; colour < 3; ++colour) {
            for (std::int64_t i = 0; i < factor * factor; ++i)
              mean[colour] += static_cast<double>(p(0, static_cast<std::int64_t>(colour), 0, y * factor + i / factor, x * factor + i % factor));
            mean[colour] = mean[colour] / static_cast<double>(factor * factor) / 2 + 0.5;  // [-1, 1] to [0, 1]
          }
          for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) a[i][j] += row[i] * row[j];
            for (std::size_t colour = 0; colour < 3; ++colour) a[i][n + colour] += row[i] * mean[colour];
          }
        }
    const double ridge = 1e-6 * a[n - 1][n - 1];  // of the number of points: keeps dependent channels solvable
    for (std::size_t i = 0; i < n; ++i) a[i][i] += ridge;
    for (std::size_t i = 0; i < n; ++i)  // symmetric and positive: no pivots are needed
      for (std::size_t k = 0; k < n; ++k) {
        if (k == i) continue;
        const double times = a[k][i] / a[i][i];
        for (std::size_t j = i; j < n + 3; ++j) a[k][j] -= times * a[i][j];
      }
    for (std::size_t colour = 0; colour < 3; ++colour) {
      map_[colour].resize(n);
      for (std::size_t i = 0; i < n; ++i) map_[colour][i] = a[i][n + colour] / a[i][i];
    }
  }

  std::int64_t channels_;
  std::array<std::vector<double>, 3> map_;  ///< a weight per channel, then the constant
};

}  // namespace kinema::inline KINEMA_ABI::cogvideox
