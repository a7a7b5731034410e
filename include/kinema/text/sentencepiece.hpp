// kinema/text/sentencepiece.hpp - T5's tokenizer on the sentencepiece library: the only file that includes it.
//
// The library trusts its model file and has no bound on its work, so it is kept behind two guards: it is only given a
// model that SpieceModel validated and wrote anew, and only texts up to library_limit bytes, which every prompt that
// somebody typed is. Longer texts take our own segmentation, which a test holds equal to the library's.
#pragma once

#if !KINEMA_WITH_SENTENCEPIECE
#error "kinema/text/sentencepiece.hpp needs the sentencepiece library: link kinema::text or define KINEMA_WITH_SENTENCEPIECE=1"
#endif

#include <kinema/text/tokenizer.hpp>
#include <kinema/text/unigram.hpp>

#include <sentencepiece_processor.h>

#include <memory>
#include <utility>

namespace kinema::inline KINEMA_ABI::text {

/// Ids as the reference's T5Tokenizer gives them: special tokens written out in the text (`<pad>`, `</s>`,
/// `<unk>`, `<extra_id_k>`) are themselves, the text between is segmented, the end is cut, `</s>` is appended unless it is last
/// already, and 0 pads. Source: transformers 4 tokenization_t5.py (transformers 5 appends a second `</s>` to a text that
/// ends with one).
class T5Tokenizer {
 public:
  struct Options {
    std::int64_t embedding_rows = 0;  ///< rows of the text encoder's table, 0 if not known; more pieces are refused
    std::int64_t extra_ids = 100;     ///< `<extra_id_k>` has id pieces + extra_ids - 1 - k
  };
  static constexpr std::size_t library_limit = 16384;  ///< bytes of normalised text; unknown runs cost the library their square

  explicit T5Tokenizer(SpieceModel model) : T5Tokenizer(std::move(model), Options{}) {}
  T5Tokenizer(SpieceModel model, Options options) : state_(std::make_shared<State>(std::move(model), options)) {}

  /// From a tokenizer folder's spiece.model. Throws IoError, naming the file, what was found and what is allowed.
  static T5Tokenizer load(const std::string& folder) { return load(folder, Options{}); }
  static T5Tokenizer load(const std::string& folder, Options options) {
    const std::string path = folder + "/spiece.model";
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 && errno == ENOENT && ::stat((folder + "/tokenizer.json").c_str(), &info) == 0)
      throw IoError(cat(printable(folder, 1024), ": has tokenizer.json but no spiece.model, which kinema reads; transformers 5 does not "
                        "save it: copy spiece.model from the published model's tokenizer folder"));
    SpieceModel model = SpieceModel::read(path);
    const auto pieces = static_cast<std::int64_t>(model.pieces.size());
    if (options.embedding_rows > 0 && pieces > options.embedding_rows)
      throw IoError(cat(printable(path, 1024), ": has ", pieces, " pieces, but the text encoder's embedding table has ", options.embedding_rows, " rows"));
    return T5Tokenizer(std::move(model), options);
  }

  /// Pieces and sentinels.
  std::int64_t vocabulary() const { return state_->pieces() + state_->options.extra_ids; }
  const SpieceModel& model() const { return state_->model; }

  /// Throws ArgumentError if the text is not UTF-8 or names a sentinel that the embedding table does not have.
  Tokens encode(std::string_view text, std::int64_t max_length) const {
    if (max_length < 1) throw ArgumentError(cat("tokenizer: max_length must be 1 or more, got ", max_length));
    if (const std::size_t bad = first_malformed_utf8(text); bad != text.size())
      throw ArgumentError(cat("prompt: must be UTF-8, byte ", bad, " is not: \"", printable(text.substr(bad, 4)), "\""));
    Pieces found{static_cast<std::size_t>(max_length - 1), {}, SIZE_MAX};
    std::size_t begin = 0, at = 0;  // plain text from begin to at
    while (at < text.size() && !found.full()) {
      const Special s = special(text.substr(at));
      if (s.length == 0) {
        ++at;
        continue;
      }
      append_plain(text, begin, at, found);
      if (!found.full()) found.add(s.id, at);
      begin = at = at + s.length;
    }
    if (!found.full()) append_plain(text, begin, text.size(), found);

    Tokens out;
    out.ids = std::move(found.ids);
    if (out.ids.empty() || out.ids.back() != SpieceModel::eos) out.ids.push_back(SpieceModel::eos);
    out.used = static_cast<std::int64_t>(out.ids.size());
    out.ids.resize(static_cast<std::size_t>(max_length), SpieceModel::pad);
    if (found.full()) {
      const std::size_t word = text.find_first_not_of(" \t\r\n", found.lost_at);
      if (word != text.npos) out.lost = std::string(text.substr(word));
    }
    return out;
  }

  /// False if the library cannot represent this model; then our own segmentation does everything.
  bool has_library() const { return state_->library != nullptr; }
  /// The pieces of one text without special tokens, through the library whatever its length: what tests compare with.
  std::vector<std::int64_t> library_pieces(std::string_view text) const {
    std::vector<std::int64_t> ids;
    if (state_->library) for_each_library_piece(text, [&](std::int64_t id, std::size_t) { ids.push_back(id); });
    return ids;
  }
  /// The same through our own segmentation.
  std::vector<std::int64_t> own_pieces(std::string_view text) const {
    std::vector<std::int64_t> ids;
    const std::string normal = state_->normalizer(text);
    for (const Unigram::Cut& c : state_->unigram(normal)) ids.push_back(c.id);
    return ids;
  }

 private:
  struct State {
    State(SpieceModel m, Options o) : model(std::move(m)), options(o), normalizer(model), unigram(model) {
      if (options.extra_ids < 0 || options.extra_ids > 1'000'000)
        throw ArgumentError(cat("tokenizer: extra_ids must be 0 to 1000000, got ", options.extra_ids));
      if (fits_library(model)) library = open_library(model);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    std::int64_t pieces() const { return static_cast<std::int64_t>(model.pieces.size()); }

    SpieceModel model;
    Options options;
    Normalizer normalizer;  // points into model
    Unigram unigram;        // points into model
    std::unique_ptr<sentencepiece::SentencePieceProcessor> library;
  };

  struct Special { std::int64_t id = 0; std::size_t length = 0; };

  /// The first `limit` ids of a prompt, and where the next one begins.
  struct Pieces {
    std::size_t limit;
    std::vector<std::int64_t> ids;
    std::size_t lost_at;
    bool full() const { return lost_at != SIZE_MAX; }
    void add(std::int64_t id, std::size_t origin) {
      if (full()) return;
      if (ids.size() == limit) lost_at = origin;
      else ids.push_back(id);
    }
  };

  /// The library cuts its keys at a NUL and keeps the user-defined symbols that begin a text in a buffer of 64.
  static bool fits_library(const SpieceModel& model) {
    std::size_t user_defined = 0;
    for (const Piece& p : model.pieces) {
      if (p.text.find('\0') != std::string::npos) return false;
      user_defined += p.type == PieceType::user_defined;
    }
    return user_defined <= 64;
  }

  static std::unique_ptr<sentencepiece::SentencePieceProcessor> open_library(const SpieceModel& model) {
    auto library = std::make_unique<sentencepiece::SentencePieceProcessor>();
    std::string problem;
    try {
      const sentencepiece::util::Status status = library->LoadFromSerializedProto(model.serialized());
      if (status.ok()) return library;
      problem = status.ToString();
    } catch (const std::exception& e) {
      problem = e.what();
    }
    throw IoError(cat("spiece.model: the sentencepiece library refuses it: ", printable(problem)));
  }

  /// A special token that `rest` begins with.
  Special special(std::string_view rest) const {
    const SpieceModel& m = state_->model;
    if (rest.starts_with(m.pad_piece)) return {SpieceModel::pad, m.pad_piece.size()};
    if (rest.starts_with(m.eos_piece)) return {SpieceModel::eos, m.eos_piece.size()};
    if (rest.starts_with(m.unk_piece)) return {SpieceModel::unknown, m.unk_piece.size()};
    return sentinel(rest);
  }
  Special sentinel(std::string_view rest) const {
    constexpr std::string_view prefix = "<extra_id_";
    if (!rest.starts_with(prefix)) return {};
    std::int64_t k = 0;
    std::size_t at = prefix.size();
    for (; at < rest.size() && at < prefix.size() + 7 && rest[at] >= '0' && rest[at] <= '9'; ++at) k = 10 * k + (rest[at] - '0');
    const std::size_t digits = at - prefix.size();
    const bool plain = digits > 0 && !(digits > 1 && rest[prefix.size()] == '0') && at < rest.size() && rest[at] == '>';
    const State& s = *state_;
    if (!plain || k >= s.options.extra_ids) return {};
    const std::int64_t id = s.pieces() + s.options.extra_ids - 1 - k;
    if (s.options.embedding_rows > 0 && id >= s.options.embedding_rows)
      throw ArgumentError(cat("prompt: <extra_id_", k, "> has id ", id, ", but the text encoder's embedding table has ", s.options.embedding_rows, " rows"));
    return {id, at + 1};
  }

  void append_plain(std::string_view text, std::size_t begin, std::size_t end, Pieces& found) const {
    if (begin == end) return;
    const std::string_view part = text.substr(begin, end - begin);
    const State& s = *state_;
    const std::string normal = s.normalizer(part);
    if (s.library && normal.size() <= library_limit && part.size() <= library_limit) {
      for_each_library_piece(part, [&](std::int64_t id, std::size_t origin) { found.add(id, begin + origin); });
      return;
    }
    const std::size_t room = found.limit - found.ids.size();
    const std::vector<Unigram::Cut> cuts = s.unigram(normal, room + 1);
    for (std::size_t i = 0; i < cuts.size() && i < room; ++i) found.add(cuts[i].id, 0);
    if (cuts.size() > room) found.add(cuts[room].id, begin + s.normalizer.origin(part, cuts[room].begin));
  }

  template <class F>
  void for_each_library_piece(std::string_view text, const F& f) const {
    const auto pieces = state_->library->EncodeAsImmutableProto(text);
    for (std::size_t i = 0; i < pieces.pieces_size(); ++i) {
      const auto piece = pieces.pieces(static_cast<int>(i));
      f(static_cast<std::int64_t>(piece.id()), static_cast<std::size_t>(piece.begin()));
    }
  }

  std::shared_ptr<const State> state_;
};

static_assert(Tokenizer<T5Tokenizer>);

}  // namespace kinema::inline KINEMA_ABI::text
