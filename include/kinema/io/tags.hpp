// kinema/io/tags.hpp - texts that travel inside a media file: the parameters a clip was made with.
#pragma once

#include <kinema/io/json.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::io {

/// Names and texts, in the order in which they are written. Names are 1 to 79 letters, digits, `_`, `-`, `.` and `:` (what every
/// container takes); texts are UTF-8 without NUL.
using Tags = std::vector<std::pair<std::string, std::string>>;

namespace detail {

inline constexpr std::size_t max_tag_bytes = std::size_t{16} << 20;

/// Throws ArgumentError for tags that a file could not give back.
inline void check_tags(const Tags& tags) {
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const auto& [name, text] = tags[i];
    const bool plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:") == std::string::npos;
    if (name.empty() || name.size() > 79 || !plain)
      throw ArgumentError(cat("tags: a name must be 1 to 79 letters, digits, `_`, `-`, `.` or `:`, got \"", printable(name), "\""));
    for (std::size_t k = 0; k < i; ++k)
      if (equal_ignoring_case(tags[k].first, name)) throw ArgumentError(cat("tags: two called \"", name, "\""));
    if (text.size() > max_tag_bytes || text.find('\0') != std::string::npos || first_invalid_utf8(text) != std::string_view::npos)
      throw ArgumentError(cat("tags: the text of \"", name, "\" must be UTF-8 without NUL of at most ", max_tag_bytes, " bytes"));
  }
}

/// For containers that have a single comment (gif, avi): the tags as one JSON object on one line.
inline std::string tags_to_comment(const Tags& tags) {
  JsonWriter out(false);
  out.begin_object();
  for (const auto& [name, text] : tags) out.field(name, text);
  return out.end().text();
}

/// The tags of such a comment; any other comment is one tag, `comment`.
inline Tags tags_of_comment(std::string_view comment) {
  if (comment.empty()) return {};
  try {
    const Json json = Json::parse(comment, "comment", {max_tag_bytes, max_tag_bytes, 2});
    Tags tags;
    for (std::size_t i = 0; i < json.keys().size(); ++i) tags.emplace_back(json.keys()[i], json.at(i).as_string());
    return tags;
  } catch (const ConfigError&) {  // somebody else's text
    return {{"comment", std::string(comment)}};
  }
}

}  // namespace detail

}  // namespace kinema::inline KINEMA_ABI::io
