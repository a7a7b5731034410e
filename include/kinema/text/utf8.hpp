// kinema/text/utf8.hpp - lengths and validity of UTF-8 characters.
#pragma once

#include <kinema/core/config.hpp>

#include <cstddef>
#include <string_view>

namespace kinema::inline KINEMA_ABI::text {

/// Bytes of the well-formed character at `at` (1 to 4), or 0: lone continuation bytes, overlong forms, surrogates, values
/// beyond U+10FFFF and characters cut off by the end are malformed. Source: Unicode 15, table 3-7.
inline std::size_t utf8_length(std::string_view s, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t n = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (n == 0 || n > s.size() - at) return 0;
  for (std::size_t i = 1; i < n; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned char second = byte(1);
  if (lead == 0xE0 && second < 0xA0) return 0;  // overlong
  if (lead == 0xED && second > 0x9F) return 0;  // surrogate
  if (lead == 0xF0 && second < 0x90) return 0;  // overlong
  if (lead == 0xF4 && second > 0x8F) return 0;  // beyond U+10FFFF
  return n;
}

/// Offset of the first malformed byte, or s.size() if there is none.
inline std::size_t first_malformed_utf8(std::string_view s) {
  std::size_t at = 0;
  while (at < s.size()) {
    const std::size_t n = utf8_length(s, at);
    if (n == 0) return at;
    at += n;
  }
  return at;
}

}  // namespace kinema::inline KINEMA_ABI::text
