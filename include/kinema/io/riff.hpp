// kinema/io/riff.hpp - chunks of RIFF files, which .avi and .webp are. Format: Microsoft and IBM, "Multimedia Programming Interface".
#pragma once

#include <kinema/core/config.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::io::detail {

inline void append_little_endian(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 255);
}

/// A chunk; its body is padded to an even size.
inline std::string riff_chunk(std::string_view kind, std::string_view body) {
  std::string out(kind);
  append_little_endian(out, body.size(), 4);
  out += body;
  if (body.size() % 2 != 0) out += '\0';
  return out;
}

}  // namespace kinema::inline KINEMA_ABI::io::detail
