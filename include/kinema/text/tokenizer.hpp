// kinema/text/tokenizer.hpp - what a text encoder needs from a tokenizer.
#pragma once

#include <kinema/core/error.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::text {

/// A prompt as ids.
struct Tokens {
  std::vector<std::int64_t> ids;  ///< exactly as many as asked for: text, end of sequence, padding
  std::int64_t used = 0;          ///< ids in front of the padding, end of sequence included
  std::string lost;               ///< the end of the prompt that did not fit, as it was written; empty if all did
};

/// encode(text, n) returns exactly n ids; text is UTF-8, else ArgumentError. const and safe to call from several threads.
template <class T>
concept Tokenizer = requires(const T& t, std::string_view text, std::int64_t n) {
  { t.encode(text, n) } -> std::same_as<Tokens>;
  { t.vocabulary() } -> std::convertible_to<std::int64_t>;
};

}  // namespace kinema::inline KINEMA_ABI::text
