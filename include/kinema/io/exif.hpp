// kinema/io/exif.hpp - the first directory of the Exif data in a picture. Format: Exif 2.32 §4.6, TIFF 6.0.
#pragma once

#include <kinema/core/config.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::io::detail {

inline constexpr unsigned exif_ascii = 2, exif_short = 3;  ///< types of fields
inline constexpr unsigned exif_image_description = 0x010E, exif_orientation_tag = 0x0112;

/// Bytes of the tag's value as they are stored, and their order; none if the tag is absent, of another type or malformed.
struct ExifField {
  std::span<const unsigned char> value;
  bool little;

  static std::optional<ExifField> find(std::span<const unsigned char> tiff, unsigned tag, unsigned type) {
    if (tiff.size() < 8) return std::nullopt;
    const bool little = tiff[0] == 'I' && tiff[1] == 'I';
    if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return std::nullopt;
    const auto number = [&](std::size_t at, std::size_t bytes) { return ExifField{tiff.subspan(at, bytes), little}.number(); };
    const std::size_t directory = number(4, 4);
    if (directory > tiff.size() - 2) return std::nullopt;
    for (std::size_t i = 0, count = number(directory, 2); i < count; ++i) {
      const std::size_t entry = directory + 2 + 12 * i;
      if (entry > tiff.size() || tiff.size() - entry < 12) return std::nullopt;
      if (number(entry, 2) != tag) continue;
      if (number(entry + 2, 2) != type) return std::nullopt;
      const std::size_t bytes = std::size_t{number(entry + 4, 4)} * (type == exif_short ? 2 : 1);
      const std::size_t at = bytes <= 4 ? entry + 8 : number(entry + 8, 4);
      if (at > tiff.size() || bytes > tiff.size() - at) return std::nullopt;
      return ExifField{tiff.subspan(at, bytes), little};
    }
    return std::nullopt;
  }

  std::uint32_t number() const {
    std::uint32_t n = 0;
    for (std::size_t i = 0; i < value.size(); ++i) n = n << 8 | value[little ? value.size() - 1 - i : i];
    return n;
  }
  /// Up to the NUL.
  std::string text() const {
    const std::string_view all(reinterpret_cast<const char*>(value.data()), value.size());
    return std::string(all.substr(0, all.find('\0')));
  }
};

}  // namespace kinema::inline KINEMA_ABI::io::detail
