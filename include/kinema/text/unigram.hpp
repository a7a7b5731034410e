// kinema/text/unigram.hpp - SentencePiece's normalisation and unigram segmentation, with bounded time and memory.
//
// Same result as the library, bit for bit, including how it rounds: scores are added in double and kept in float. Where
// no piece crosses a position, the best path up to there is final, so it is emitted and forgotten: memory follows the
// longest stretch that pieces overlap, and a prompt is only segmented as far as somebody wants its ids. The library
// (0.1.97) merges runs of unknown characters in quadratic time: 1 MiB of NUL takes it half a minute.
#pragma once

#include <kinema/text/spiece_model.hpp>

#include <cfloat>
#include <deque>

namespace kinema::inline KINEMA_ABI::text {

/// All pieces that text can be cut into, as a byte trie; the children of a node are adjacent and sorted.
class PieceTrie {
 public:
  struct Node {
    std::int32_t piece = -1;  ///< id of the piece that ends here
    std::uint32_t first = 0;  ///< first child
    std::uint16_t children = 0;
    unsigned char label = 0;
  };

  PieceTrie() = default;
  /// Of the pieces whose type `keep` accepts.
  template <class Keep>
  PieceTrie(const SpieceModel& model, const Keep& keep) {
    std::vector<std::uint32_t> order;
    for (const std::uint32_t id : model.by_text)
      if (keep(model.pieces[id].type)) order.push_back(id);
    struct Range { std::uint32_t node; std::size_t begin, end, depth; };
    std::deque<Range> open{{0, 0, order.size(), 0}};
    nodes_.emplace_back();
    while (!open.empty()) {  // breadth first, so that the children of a node come out adjacent
      Range r = open.front();
      open.pop_front();
      const auto text = [&](std::size_t i) -> const std::string& { return model.pieces[order[i]].text; };
      if (r.begin < r.end && text(r.begin).size() == r.depth) nodes_[r.node].piece = static_cast<std::int32_t>(order[r.begin++]);
      nodes_[r.node].first = static_cast<std::uint32_t>(nodes_.size());
      while (r.begin < r.end) {
        const char c = text(r.begin)[r.depth];
        std::size_t end = r.begin + 1;
        while (end < r.end && text(end)[r.depth] == c) ++end;
        Node child;
        child.label = static_cast<unsigned char>(c);
        open.push_back({static_cast<std::uint32_t>(nodes_.size()), r.begin, end, r.depth + 1});
        nodes_.push_back(child);
        ++nodes_[r.node].children;
        r.begin = end;
      }
    }
  }

  bool empty() const { return nodes_.size() < 2; }
  const Node& root() const { return nodes_[0]; }
  const Node* child(const Node& n, char c) const {
    const auto label = static_cast<unsigned char>(c);
    std::uint32_t low = n.first, high = n.first + n.children;
    while (low < high) {
      const std::uint32_t middle = (low + high) / 2;
      if (nodes_[middle].label < label) low = middle + 1;
      else high = middle;
    }
    return low < n.first + n.children && nodes_[low].label == label ? &nodes_[low] : nullptr;
  }

 private:
  std::vector<Node> nodes_;
};

/// Text with the rules of its model applied: what pieces are matched against.
class Normalizer {
 public:
  static constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581
  /// Most bytes that `n` bytes of text may become; the stock map needs 11 n.
  static constexpr std::size_t largest_output(std::size_t n) { return 16 * n + 1024; }

  explicit Normalizer(const SpieceModel& model)
      : model_(&model), user_defined_(model, [](PieceType t) { return t == PieceType::user_defined; }) {}

  /// `text` must be UTF-8. Throws ArgumentError if the map would blow it up beyond largest_output.
  std::string operator()(std::string_view text) const {
    std::string out;
    run(text, out, SIZE_MAX);
    const std::string_view space = model_->escape_whitespaces ? space_symbol : std::string_view(" ");
    const bool strip = model_->remove_extra_whitespaces, suffix = model_->whitespace_as_suffix && model_->add_dummy_prefix;
    if (strip && out.empty()) return out;  // nothing but spaces: no dummy prefix either
    while (strip && std::string_view(out).ends_with(space)) out.resize(out.size() - space.size());
    if (suffix && !text.empty()) out += space;
    return out;
  }

  /// Offset in `text` of the character that becomes byte `at` of the normalised text.
  std::size_t origin(std::string_view text, std::size_t at) const {
    std::string out;
    return run(text, out, at);
  }

 private:
  /// One character, or more where a rule says so: what it becomes and how many bytes it takes.
  Charsmap::Match prefix(std::string_view rest) const {
    if (!user_defined_.empty()) {
      std::size_t longest = 0;
      const PieceTrie::Node* n = &user_defined_.root();
      for (std::size_t i = 0; i < rest.size() && (n = user_defined_.child(*n, rest[i])) != nullptr; ++i)
        if (n->piece >= 0) longest = i + 1;
      if (longest > 0) return {longest, rest.substr(0, longest)};
    }
    if (const Charsmap::Match m = model_->charsmap.longest_match(rest); m.length > 0) return m;
    if (const std::size_t n = utf8_length(rest, 0); n > 0) return {n, rest.substr(0, n)};
    return {1, "\xEF\xBF\xBD"};
  }

  /// Appends to `out` until it holds byte `stop`; returns the offset of the character that it came from.
  std::size_t run(std::string_view text, std::string& out, std::size_t stop) const {
    std::size_t at = 0;
    const auto space = [&] { out += model_->escape_whitespaces ? space_symbol : std::string_view(" "); };
    if (model_->remove_extra_whitespaces) {
      while (at < text.size()) {
        const Charsmap::Match m = prefix(text.substr(at));
        if (m.replacement != " ") break;
        at += m.length;
      }
    }
    if (at == text.size()) return at;
    if (!model_->whitespace_as_suffix && model_->add_dummy_prefix) space();
    bool after_space = model_->remove_extra_whitespaces;
    while (at < text.size() && out.size() <= stop) {
      const Charsmap::Match m = prefix(text.substr(at));
      std::string_view part = m.replacement;
      while (after_space && part.starts_with(' ')) part.remove_prefix(1);
      for (const char c : part) {
        if (c == ' ') space();
        else out += c;
      }
      if (out.size() > stop) break;
      if (!part.empty()) after_space = model_->remove_extra_whitespaces && part.ends_with(' ');
      at += m.length;
      if (out.size() > largest_output(text.size()))
        throw ArgumentError(cat("prompt: the tokenizer's normalisation turns ", text.size(), " bytes into more than ", largest_output(text.size())));
    }
    return at;
  }

  const SpieceModel* model_;
  PieceTrie user_defined_;
};

/// The most probable cut of normalised text into pieces.
class Unigram {
 public:
  static constexpr float unknown_penalty = 10.0f;

  explicit Unigram(const SpieceModel& model)
      : model_(&model), trie_(model, [](PieceType t) {
          return t == PieceType::normal || t == PieceType::user_defined || t == PieceType::unused;
        }) {
    float lowest = FLT_MAX;
    for (const Piece& p : model.pieces)
      if (p.type == PieceType::normal) {
        lowest = std::min(lowest, p.score);
        highest_ = std::max(highest_, p.score);
      }
    unknown_score_ = lowest - unknown_penalty;
  }

  struct Cut { std::int32_t id; std::size_t begin; };  ///< a piece and the byte of the normalised text where it begins

  /// At least the first `wanted` pieces, if there are so many; neighbouring unknown characters are one piece.
  std::vector<Cut> operator()(std::string_view text, std::size_t wanted = SIZE_MAX) const {
    std::vector<Cut> out;
    std::vector<Best> best(1);        // best[i]: best way to reach byte base + i
    std::size_t base = 0, reach = 0;  // no piece so far ends behind `reach`
    best[0].start = 0;
    for (std::size_t at = 0; at < text.size();) {
      if (at == reach && at > base) {
        emit(best, base, at, out);
        if (out.size() >= wanted) return out;
        best[0].score = best[at - base].score;
        best.resize(1);
        base = at;
      }
      const std::size_t length = std::min(character_length(text[at]), text.size() - at);
      extend(text, at, length, base, best, reach);
      at += length;
    }
    if (!text.empty()) emit(best, base, text.size(), out);
    return out;
  }

 private:
  struct Best {
    float score = 0.0f;
    std::int32_t id = -1;
    std::size_t start = SIZE_MAX;  ///< where its last piece begins
  };

  /// By the lead byte; the text is UTF-8, except that the library's table counts a stray byte as a character of one.
  static std::size_t character_length(char lead) {
    constexpr unsigned char by_high_nibble[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    return by_high_nibble[static_cast<unsigned char>(lead) >> 4];
  }

  /// All pieces that begin at `at`, whose first character has `length` bytes.
  void extend(std::string_view text, std::size_t at, std::size_t length, std::size_t base, std::vector<Best>& best, std::size_t& reach) const {
    const float here = best[at - base].score;
    bool single = false;
    const auto offer = [&](std::size_t end, double score, std::int32_t id) {
      if (end > reach) reach = end;
      if (end - base >= best.size()) best.resize(end - base + 1);
      Best& b = best[end - base];
      if (b.start != SIZE_MAX && !(score > static_cast<double>(b.score))) return;  // the first found wins ties
      b = {static_cast<float>(score), id, at};
    };
    const PieceTrie::Node* n = &trie_.root();
    for (std::size_t end = at; end < text.size() && (n = trie_.child(*n, text[end])) != nullptr;) {
      ++end;
      if (n->piece < 0) continue;
      const Piece& p = model_->pieces[static_cast<std::size_t>(n->piece)];
      if (p.type == PieceType::unused) continue;
      const double score = p.type == PieceType::user_defined
                               ? static_cast<double>(static_cast<float>(end - at) * highest_) - 0.1
                               : static_cast<double>(p.score);
      offer(end, score + static_cast<double>(here), n->piece);
      single = single || end - at == length;
    }
    if (!single) offer(at + length, static_cast<double>(unknown_score_ + here), static_cast<std::int32_t>(SpieceModel::unknown));
  }

  /// Appends the best path from `base` to `end`.
  static void emit(const std::vector<Best>& best, std::size_t base, std::size_t end, std::vector<Cut>& out) {
    const std::size_t first = out.size();
    for (std::size_t at = end; at > base; at = best[at - base].start) out.push_back({best[at - base].id, best[at - base].start});
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(first), out.end());
    std::size_t kept = first;
    for (std::size_t i = first; i < out.size(); ++i) {
      const bool joins = kept > 0 && out[kept - 1].id == SpieceModel::unknown && out[i].id == SpieceModel::unknown;
      if (!joins) out[kept++] = out[i];
    }
    out.resize(kept);
  }

  const SpieceModel* model_;
  PieceTrie trie_;
  float highest_ = FLT_MIN, unknown_score_ = 0.0f;  // FLT_MIN, not -FLT_MAX: as the library starts its maximum
};

}  // namespace kinema::inline KINEMA_ABI::text
