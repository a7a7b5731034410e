// kinema/io/pixels.hpp - pictures between numbers in [0, 1] and bytes.
#pragma once

#include <kinema/tensor/create.hpp>

#include <cmath>

namespace kinema::inline KINEMA_ABI::io {

namespace detail {

/// Throws unless `frames` is u8 or floating, [H, W, 3] or [F, H, W, 3], on the host.
inline void expect_frames(std::string_view where, const Tensor<>& frames) {
  if (!frames || (frames.dtype() != DType::u8 && !is_floating(frames.dtype())) ||
      (frames.rank() != 3 && frames.rank() != 4) || frames.size(-1) != 3)
    throw ShapeError(cat(where, ": must be u8 or floating [H, W, 3] or [F, H, W, 3], got ", to_string(frames)));
  if (!frames.device().is_cpu()) throw DeviceError(cat(where, ": must be on the host, is on ", frames.device()));
}

/// f(output index, value) for every element of a picture of any type and strides, row by row.
template <class F>
void for_each_pixel(const Tensor<>& picture, const F& f) {
  dispatch_any(picture.dtype(), [&]<class T>(Type<T>) {
    const View<const T, 3> v = picture.view<const T, 3>();
    std::size_t i = 0;
    for (std::int64_t y = 0; y < v.size[0]; ++y)
      for (std::int64_t x = 0; x < v.size[1]; ++x)
        for (std::int64_t c = 0; c < 3; ++c, ++i) f(i, v(y, x, c));
  });
}

[[noreturn]] inline void throw_not_finite(std::string_view where, std::size_t at, std::int64_t width) {
  const auto pixel = static_cast<std::int64_t>(at / 3);
  throw NonFiniteError(cat(where, ": pixel at row ", pixel / width, ", column ", pixel % width, ", channel ", at % 3,
                           " is not a number"));
}

}  // namespace detail

/// u8 [H, W, 3] of a picture in [0, 1]: clamped, times 255, rounded to nearest even (as numpy rounds). u8 is copied.
/// Throws NonFiniteError for NaN, naming `where` and the pixel.
inline Tensor<> picture_to_u8(const Tensor<>& picture, std::string_view where = "picture") {
  detail::expect_frames(where, picture);
  Tensor<> out = empty(picture.shape(), DType::u8);
  auto* to = out.data<std::uint8_t>();
  detail::for_each_pixel(picture, [&](std::size_t i, auto value) {
    if constexpr (std::is_same_v<decltype(value), std::uint8_t>) {
      to[i] = value;
    } else {
      const auto v = static_cast<float>(value);
      if (v != v) detail::throw_not_finite(where, i, picture.size(1));
      to[i] = static_cast<std::uint8_t>(std::nearbyint(std::min(std::max(v, 0.0f), 1.0f) * 255.0f));
    }
  });
  return out;
}

/// f32 [H, W, 3], clamped to [0, 1]; u8 is divided by 255. Throws NonFiniteError for NaN.
inline Tensor<> picture_to_f32(const Tensor<>& picture, std::string_view where = "picture") {
  detail::expect_frames(where, picture);
  Tensor<> out = empty(picture.shape(), DType::f32);
  auto* to = out.data<float>();
  detail::for_each_pixel(picture, [&](std::size_t i, auto value) {
    const auto v = static_cast<float>(value);
    if (v != v) detail::throw_not_finite(where, i, picture.size(1));
    to[i] = std::is_same_v<decltype(value), std::uint8_t> ? v / 255.0f : std::min(std::max(v, 0.0f), 1.0f);
  });
  return out;
}

}  // namespace kinema::inline KINEMA_ABI::io
