// kinema/io/gif_comment.hpp - the comment of a GIF file, which carries its tags. Format: GIF89a specification.
#pragma once

#include <kinema/io/tags.hpp>

#include <span>

namespace kinema::inline KINEMA_ABI::io::detail {

inline bool is_gif(std::string_view head) { return head.starts_with("GIF87a") || head.starts_with("GIF89a"); }

/// A comment extension of these tags.
inline std::string gif_comment(const Tags& tags) {
  const std::string text = tags_to_comment(tags);
  std::string out = "\x21\xFE";
  for (std::size_t at = 0; at < text.size(); at += 255) {
    const std::string part = text.substr(at, 255);
    out += static_cast<char>(part.size());
    out += part;
  }
  return out + '\0';
}

/// The tags of the first comment. Walks all blocks; throws IoError where the file ends in one.
inline Tags gif_tags(std::span<const unsigned char> file, std::string_view where) {
  std::size_t at = 6;
  const auto need = [&](std::size_t bytes) {
    if (bytes > file.size() - at) throw IoError(cat(where, ": GIF: is truncated at byte ", at));
  };
  const auto colours = [&](unsigned flags) { return (flags & 0x80) != 0 ? std::size_t{3} << ((flags & 7) + 1) : 0; };
  const auto blocks = [&](std::string* text) {
    for (;;) {
      need(1);
      const std::size_t bytes = file[at++];
      need(bytes);
      if (text != nullptr) text->append(reinterpret_cast<const char*>(&file[at]), bytes);
      at += bytes;
      if (bytes == 0) return;
      if (text != nullptr && text->size() > max_tag_bytes) throw IoError(cat(where, ": GIF: a comment of more than ", max_tag_bytes, " bytes"));
    }
  };
  need(7);  // logical screen
  const std::size_t table = colours(file[at + 4]);
  at += 7;
  need(table);
  at += table;
  for (;;) {
    need(1);
    const unsigned kind = file[at++];
    if (kind == 0x3B) return {};
    if (kind == 0x21) {
      need(1);
      const bool comment = file[at++] == 0xFE;
      std::string text;
      blocks(comment ? &text : nullptr);
      if (!comment) continue;
      if (first_invalid_utf8(text) != std::string_view::npos) throw IoError(cat(where, ": GIF: the comment is not UTF-8"));
      return tags_of_comment(text);
    }
    if (kind != 0x2C) throw IoError(cat(where, ": GIF: unknown block ", kind, " at byte ", at - 1));
    need(9);
    const std::size_t local = colours(file[at + 8]);
    at += 9;
    need(local);
    at += local;
    need(1);  // size of LZW codes
    ++at;
    blocks(nullptr);
  }
}

}  // namespace kinema::inline KINEMA_ABI::io::detail
