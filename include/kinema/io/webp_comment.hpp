// kinema/io/webp_comment.hpp - the description of a WebP file, which carries its tags. Formats: RFC 9649, Exif 2.32 §4.6.4.
#pragma once

#include <kinema/io/exif.hpp>
#include <kinema/io/riff.hpp>
#include <kinema/io/tags.hpp>

#include <span>

namespace kinema::inline KINEMA_ABI::io::detail {

inline bool is_webp(std::string_view head) { return head.starts_with("RIFF") && head.substr(std::min<std::size_t>(head.size(), 8)).starts_with("WEBP"); }

/// An Exif chunk with one field: the tags.
inline std::string webp_comment(const Tags& tags) {
  const std::string text = tags_to_comment(tags) + '\0';
  std::string tiff("II*\0\x08\0\0\0\x01\0", 10);  // little endian; the directory follows and has one entry
  append_little_endian(tiff, exif_image_description, 2);
  append_little_endian(tiff, exif_ascii, 2);
  append_little_endian(tiff, text.size(), 4);
  append_little_endian(tiff, 26, 4);  // where the text begins
  append_little_endian(tiff, 0, 4);   // no further directory
  return riff_chunk("EXIF", tiff + text);
}

/// A WebP file of pictures of this size with the tags. A simple file (one picture) becomes an extended one, as it must.
inline std::string webp_with_tags(std::span<const unsigned char> file, std::int64_t width, std::int64_t height, const Tags& tags) {
  std::string chunks(reinterpret_cast<const char*>(file.data()) + 12, file.size() - 12);
  if (!chunks.starts_with("VP8X")) {
    std::string extended(4, '\0');
    append_little_endian(extended, static_cast<std::uint64_t>(width - 1), 3);
    append_little_endian(extended, static_cast<std::uint64_t>(height - 1), 3);
    chunks.insert(0, riff_chunk("VP8X", extended));
  }
  chunks[8] = static_cast<char>(chunks[8] | 0x08);  // there is Exif
  return riff_chunk("RIFF", "WEBP" + chunks + webp_comment(tags));
}

/// The tags of the Exif chunk. Walks all chunks; throws IoError where the file ends in one.
inline Tags webp_tags(std::span<const unsigned char> file, std::string_view where) {
  std::size_t at = 12;
  while (at < file.size()) {
    const auto truncated = [&] { return IoError(cat(where, ": WebP: is truncated at byte ", at)); };
    if (file.size() - at < 8) throw truncated();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < 4; ++i) bytes |= std::size_t{file[at + 4 + i]} << (8 * i);
    const std::string_view kind(reinterpret_cast<const char*>(&file[at]), 4);
    at += 8;
    if (bytes > file.size() - at) throw truncated();
    if (kind == "EXIF") {
      if (bytes > max_tag_bytes) throw IoError(cat(where, ": WebP: Exif of more than ", max_tag_bytes, " bytes"));
      const auto field = ExifField::find(file.subspan(at, bytes), exif_image_description, exif_ascii);
      const std::string text = field ? field->text() : "";
      if (first_invalid_utf8(text) != std::string_view::npos) throw IoError(cat(where, ": WebP: the description is not UTF-8"));
      return tags_of_comment(text);
    }
    at += bytes + bytes % 2;
  }
  return {};
}

}  // namespace kinema::inline KINEMA_ABI::io::detail
