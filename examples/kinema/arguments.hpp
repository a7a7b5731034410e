// examples/kinema/arguments.hpp - strict reading of option values: whole, in range, or refused with flag and value.
#pragma once

#include "failure.hpp"

#include <kinema/core/error.hpp>
#include <kinema/text/utf8.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace program {

template <class... A>
[[noreturn]] void usage_error(const A&... message) { throw Failure(ExitCode::usage, kinema::cat(message...)); }

/// "--steps: must be …, got \"x\"".
template <class... A>
[[noreturn]] void bad_value(std::string_view flag, std::string_view value, const A&... allowed) {
  usage_error(flag, ": must be ", allowed..., ", got \"", kinema::printable(value), "\"");
}

/// A decimal integer within 64 bits, without plus, spaces, fraction or anything behind it.
inline std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() ? std::optional(v) : std::nullopt;
}

inline std::int64_t integer(std::string_view flag, std::string_view text, std::int64_t low, std::int64_t high) {
  const std::optional<std::int64_t> v = whole_number(text);
  if (!v || *v < low || *v > high) bad_value(flag, text, "an integer from ", low, " to ", high);
  return *v;
}

/// A finite decimal number, also in scientific notation.
inline double number(std::string_view flag, std::string_view text, double low, double high, bool low_excluded = false) {
  double v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  const bool read = !text.empty() && error == std::errc() && end == text.data() + text.size() && std::isfinite(v);
  if (!read || v < low || v > high || (low_excluded && v == low))
    bad_value(flag, text, "a number ", low_excluded ? "above " : "from ", low, " to ", high);
  return v;
}

/// One of a list of words; the error lists them.
template <class T>
T choice(std::string_view flag, std::string_view text, std::initializer_list<std::pair<std::string_view, T>> words) {
  std::string allowed;
  for (const auto& [word, value] : words) {
    if (word == text) return value;
    allowed += kinema::cat(allowed.empty() ? "" : ", ", word);
  }
  bad_value(flag, text, "one of ", allowed);
}

/// Throws for text that is not UTF-8, naming the byte.
inline void require_utf8(std::string_view flag, std::string_view text) {
  const std::size_t bad = kinema::text::first_malformed_utf8(text);
  if (bad != text.size()) usage_error(flag, ": must be UTF-8, byte ", bad, " is not, got \"", kinema::printable(text), "\"");
}

}  // namespace program
