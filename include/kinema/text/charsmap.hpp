// kinema/text/charsmap.hpp - SentencePiece's precompiled normalisation map: longest match in a double-array trie.
//
// The bytes come from an untrusted file, so the whole trie is walked once when it is loaded. A map that passes lets no
// text lead a look-up outside it: not ours, and not the library's, which checks nothing.
#pragma once

#include <kinema/core/error.hpp>
#include <kinema/text/utf8.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::text {

/// Layout: u32 bytes of the trie | trie as u32 units | NUL-terminated UTF-8 replacements; a key's value is the offset of
/// its replacement. Unit: bit 8 has_leaf, bits 31 and 0-7 label, bits 10-31 offset (times 256 if bit 9), leaf bits 0-30 value.
/// Source: sentencepiece normalizer.cc, darts-clone darts.h.
class Charsmap {
 public:
  static constexpr int nested_matches = 32;       ///< sentencepiece's result buffer; the stock map needs 3
  static constexpr std::size_t longest_replacement = 1024;  ///< bytes; the stock map needs 33
///   What replaces the longest key at a position.
  struct Match {
    std::size_t length = 0;  ///< bytes consumed, 0 if no key matches
    std::string_view replacement;
  };

  Charsmap() = default;
  /// Validates `blob`, which begins at byte `origin` of `file`. An empty blob maps nothing. Throws IoError.
  Charsmap(std::string_view blob, std::size_t origin, std::string_view file) : origin_(origin), file_(file) {
    if (!blob.empty()) {
      read(blob);
      Walk(*this).run();
    }
    file_ = {};
  }

  /// The longest key that `rest` begins with.
  Match longest_match(std::string_view rest) const {
    Match best;
    if (units_.empty()) return best;
    std::size_t node = offset(units_[0]);
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const auto c = static_cast<unsigned char>(rest[i]);
      node ^= c;
      const std::uint32_t unit = units_[node];
      if (label(unit) != c) break;
      node ^= offset(unit);
      if (has_leaf(unit)) best = {i + 1, replacement(value(units_[node]))};
    }
    return best;
  }

 private:
  static bool has_leaf(std::uint32_t u) { return (u >> 8) & 1; }
  static std::uint32_t label(std::uint32_t u) { return u & 0x800000FFu; }
  static std::size_t offset(std::uint32_t u) { return std::size_t{u >> 10} << ((u & 0x200u) >> 6); }
  static std::size_t value(std::uint32_t u) { return u & 0x7FFFFFFFu; }
  std::string_view replacement(std::size_t at) const { return {pool_.data() + at, std::strlen(pool_.data() + at)}; }

  [[noreturn]] void fail(std::size_t at, const std::string& what) const {
    throw IoError(cat(file_, ": byte ", origin_ + at, ", precompiled_charsmap: ", what));
  }

  void read(std::string_view blob) {
    std::uint32_t bytes = 0;
    if (blob.size() < 4) fail(0, cat("needs at least 4 bytes, got ", blob.size()));
    std::memcpy(&bytes, blob.data(), 4);
    if (bytes > blob.size() - 4) fail(0, cat("the trie has ", bytes, " bytes, but only ", blob.size() - 4, " are left"));
    if (bytes == 0 || bytes % 4 != 0) fail(0, cat("the trie's bytes must be a positive multiple of 4, got ", bytes));
    units_.resize(bytes / 4);
    std::memcpy(units_.data(), blob.data() + 4, bytes);
    pool_ = blob.substr(4 + std::size_t{bytes});
    if (pool_.empty() || pool_.back() != '\0') fail(blob.size(), "the last replacement must end with a NUL byte");
  }

  /// One depth-first walk over all states; a state is the base position of its children. States may be shared (the builder
  /// merges equal suffixes), so finished ones are remembered, and a state that is met again while still open is a cycle.
  struct Walk {
    explicit Walk(const Charsmap& m) : map(m), state(m.units_.size(), unseen), below(m.units_.size(), 0), checked(m.pool_.size(), false) {}

    void run() {
      enter(offset(map.units_[0]), 0);
      while (!open.empty()) {
        Frame& top = open.back();
        if (top.next == 256) {
          state[top.base] = done;
          const int matches = below[top.base] + (top.leaf ? 1 : 0);
          open.pop_back();
          if (!open.empty()) raise(below[open.back().base], matches);
          continue;
        }
        const std::uint32_t c = top.next++;
        const std::size_t parent = top.base, id = parent ^ c;
        const std::uint32_t unit = map.units_[id];
        if (label(unit) != c) continue;
        const std::size_t base = id ^ offset(unit);
        if (has_leaf(unit)) check_leaf(base, id);
        if (base < state.size() && state[base] == done) raise(below[parent], below[base] + (has_leaf(unit) ? 1 : 0));
        else enter(base, id, has_leaf(unit));
      }
    }

   private:
    enum State : unsigned char { unseen, in_progress, done };
    struct Frame { std::size_t base; std::uint32_t next; bool leaf; };

    static std::size_t byte_of(std::size_t unit) { return 4 + 4 * unit; }
    void raise(int& most, int matches) const {
      most = std::max(most, matches);
      if (most > nested_matches) map.fail(4, cat("more than ", nested_matches, " keys are prefixes of each other"));
    }
    void enter(std::size_t base, std::size_t from, bool leaf = false) {
      if ((base | 255) >= map.units_.size())
        map.fail(byte_of(from), cat("unit ", from, " leads to unit ", base | 255, ", but there are ", map.units_.size()));
      if (state[base] == in_progress) map.fail(byte_of(from), cat("unit ", from, " leads back to unit ", base, ": the trie has a cycle"));
      state[base] = in_progress;
      open.push_back({base, 0, leaf});
    }
    void check_leaf(std::size_t base, std::size_t from) {
      if (base >= map.units_.size())
        map.fail(byte_of(from), cat("unit ", from, " leads to unit ", base, ", but there are ", map.units_.size()));
      const std::size_t at = value(map.units_[base]), pool_at = byte_of(map.units_.size());
      if (at >= map.pool_.size())
        map.fail(byte_of(base), cat("unit ", base, " points to replacement byte ", at, ", but there are ", map.pool_.size()));
      if (checked[at]) return;
      const std::string_view text(map.pool_.data() + at, ::strnlen(map.pool_.data() + at, longest_replacement + 1));
      if (text.size() > longest_replacement)
        map.fail(pool_at + at, cat("replacements have at most ", longest_replacement, " bytes"));
      if (const std::size_t bad = first_malformed_utf8(text); bad != text.size()) map.fail(pool_at + at + bad, "replacements must be UTF-8");
      checked[at] = true;
    }

    const Charsmap& map;
    std::vector<unsigned char> state;
    std::vector<int> below;  ///< most keys on one path below a state
    std::vector<bool> checked;
    std::vector<Frame> open;
  };

  std::vector<std::uint32_t> units_;
  std::string pool_;
  std::size_t origin_ = 0;
  std::string_view file_;  ///< only while validating
};

}  // namespace kinema::inline KINEMA_ABI::text
