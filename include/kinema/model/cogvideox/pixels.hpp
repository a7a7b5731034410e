// kinema/model/cogvideox/pixels.hpp - between pictures as people store them and pixels as the VAE sees them.
#pragma once

#include <kinema/core/parallel.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/layout.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/slice.hpp>

#include <algorithm>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Frames [F, H, W, 3], bytes or f32 in [0, 1] → f32 [1, 3, F, H, W] in [−1, 1].
/// Source: diffusers VideoProcessor.preprocess_video (x / 255, then 2 x − 1).
inline Tensor<> pixels_from_frames(const Tensor<>& frames) {
  const Expect expect{"pixels_from_frames"};
  expect("frames", frames).rank(4).size(3, 3).on(Device::cpu());
  expect.that(frames.dtype() == DType::u8 || frames.dtype() == DType::f32, "frames must be u8 or f32, got ", to_string(frames));
  const std::int64_t f = frames.size(0), h = frames.size(1), w = frames.size(2);
  Tensor<> pixels = empty({1, 3, f, h, w}, DType::f32);
  const auto fill = [&]<class T>(View<const T, 4> from, float unit) {
    const auto to = pixels.view<float, 5>();
    parallel_for(f, cpu_context().threads, [&](std::int64_t i) {
      for (std::int64_t c = 0; c < 3; ++c)
        for (std::int64_t y = 0; y < h; ++y)
          for (std::int64_t x = 0; x < w; ++x) to(0, c, i, y, x) = 2.0f * (static_cast<float>(from(i, y, x, c)) / unit) - 1.0f;
    });
  };
  if (frames.dtype() == DType::u8) fill(frames.view<const std::uint8_t, 4>(), 255.0f);
  else fill(frames.view<const float, 4>(), 1.0f);
  return pixels;
}

/// Pixels [1, 3, F, H, W] in [−1, 1], any floating type → f32 [F, H, W, 3], clamped to [0, 1].
/// Source: diffusers VideoProcessor.postprocess_video (x / 2 + 0.5).
inline Tensor<> frames_from_pixels(const Tensor<>& pixels) {
  Expect{"frames_from_pixels"}("pixels", pixels).rank(5).size(0, 1).size(1, 3);
  const Tensor<> wide = op::cast(pixels, DType::f32);
  const std::int64_t f = wide.size(2), h = wide.size(3), w = wide.size(4);
  Tensor<> frames = empty({f, h, w, 3}, DType::f32);
  const auto from = wide.view<const float, 5>();
  const auto to = frames.view<float, 4>();
  parallel_for(f, cpu_context().threads, [&](std::int64_t i) {
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x)
        for (std::int64_t c = 0; c < 3; ++c) to(i, y, x, c) = std::clamp(from(0, c, i, y, x) * 0.5f + 0.5f, 0.0f, 1.0f);
  });
  return frames;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
