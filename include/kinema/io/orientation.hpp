// kinema/io/orientation.hpp - pictures turned upright, as the tag of a camera says.
#pragma once

#include <kinema/io/exif.hpp>
#include <kinema/tensor/create.hpp>

#include <cstring>
#include <span>

namespace kinema::inline KINEMA_ABI::io::detail {

/// EXIF orientation 1..8; 1 if absent or malformed.
inline unsigned exif_orientation(std::span<const unsigned char> tiff) {
  const auto field = ExifField::find(tiff, exif_orientation_tag, exif_short);
  const std::uint32_t value = field && field->value.size() == 2 ? field->number() : 1;
  return value >= 1 && value <= 8 ? value : 1;
}

/// The picture turned upright.
inline Tensor<> apply_orientation(const Tensor<>& image, unsigned orientation) {
  if (orientation <= 1) return image;
  const std::int64_t h = image.size(0), w = image.size(1);
  const bool turned = orientation >= 5;
  Tensor<> out = empty({turned ? w : h, turned ? h : w, 3}, DType::u8);
  const auto* from = image.data<std::uint8_t>();
  auto* to = out.data<std::uint8_t>();
  for (std::int64_t y = 0; y < out.size(0); ++y) {
    for (std::int64_t x = 0; x < out.size(1); ++x, to += 3) {
      std::int64_t sy = turned ? x : y, sx = turned ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) sy = h - 1 - sy;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) sx = w - 1 - sx;
      std::memcpy(to, from + (sy * w + sx) * 3, 3);
    }
  }
  return out;
}

}  // namespace kinema::inline KINEMA_ABI::io::detail
