// kinema/text/spiece_model.hpp - reads and validates a SentencePiece unigram model (spiece.model).
//
// The file is untrusted. Everything that is used later, by us or by the sentencepiece library, is checked here once:
// wire format, counts, UTF-8, duplicates, scores, special ids, and the whole normalisation trie. What passes is written
// again by serialized(), so that the library never parses a byte that we did not write.
#pragma once

#include <kinema/text/charsmap.hpp>
#include <kinema/text/wire_format.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

namespace kinema::inline KINEMA_ABI::text {
/// As the file numbers them.
enum class PieceType : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
/// An entry of the vocabulary.
struct Piece {
  std::string text;
  float score = 0.0f;
  PieceType type = PieceType::normal;
};

/// A unigram model as T5 uses it: ids are indices into `pieces`; 0 pads, 1 ends, 2 is unknown.
struct SpieceModel {
  static constexpr std::int64_t pad = 0, eos = 1, unknown = 2;
  static constexpr std::size_t largest_file = std::size_t{32} << 20;  ///< T5's has 0.8 MB, the largest published ones 5 MB
  static constexpr std::size_t most_pieces = 1'000'000;
  static constexpr std::size_t longest_piece = 4096;  ///< the library builds its trie recursively, one level per byte
  static constexpr float largest_score = 1e9f;        ///< log probabilities; sums over any prompt stay finite

  std::vector<Piece> pieces;
  std::vector<std::uint32_t> by_text;  ///< ids, sorted by the bytes of their pieces
  Charsmap charsmap;
  std::string charsmap_bytes;          ///< as in the file, for serialized()
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  bool whitespace_as_suffix = false;
  std::string pad_piece = "<pad>", eos_piece = "</s>", unk_piece = "<unk>", bos_piece = "<s>";

  /// `bytes` is a whole file; `file` names it in messages. Throws IoError.
  static SpieceModel parse(std::string_view bytes, std::string_view file);
  /// Throws IoError; never blocks on a FIFO or device.
  static SpieceModel read(const std::string& path);
  /// The model in protobuf's wire format: only what was validated.
  std::string serialized() const;
};

namespace detail {

/// One pass over the file; the checks that need all pieces come at the end.
class SpieceParser {
 public:
  SpieceParser(std::string_view bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  SpieceModel run() {
    if (bytes_.empty()) fail("is empty");
    if (bytes_.size() > SpieceModel::largest_file) fail(cat("has ", bytes_.size(), " bytes, at most ", SpieceModel::largest_file, " are read"));
    if (bytes_.substr(0, 23) == "version https://git-lfs") fail("is a git-lfs pointer, not the model: fetch the file itself");
    if (bytes_[0] == '{' || bytes_[0] == '<') fail("is text (JSON or HTML), not a SentencePiece model");
    if (bytes_.substr(0, 2) == "\x1f\x8b") fail("is gzip, not a SentencePiece model: unpack it first");
    WireReader r(bytes_, 0, file_, "model");
    while (r.next()) switch (r.field()) {
        case 1: piece(r.bytes("pieces"), r.offset()); break;
        case 2: trainer(r.bytes("trainer_spec"), r.offset()); break;
        case 3: normalizer(r.bytes("normalizer_spec"), r.offset()); break;
        default: r.skip();  // self test data and the denormalizer are not used
      }
    if (model_.pieces.empty()) fail("has no pieces");
    if (model_type_ != 1) fail(cat("trainer_spec.model_type must be unigram (1), got ", model_type_name(), " (", model_type_, ")"));
    if (byte_fallback_) fail("trainer_spec.byte_fallback must be false: T5 has no byte pieces");
    model_.charsmap = Charsmap(charsmap_, charsmap_origin_, file_);
    model_.charsmap_bytes = std::string(charsmap_);
    check_special();
    check_duplicates();
    return std::move(model_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw IoError(cat(file_, ": ", what)); }
  std::string name(std::size_t id) const { return cat("piece ", id, " (\"", printable(model_.pieces[id].text, 64), "\")"); }
  [[noreturn]] void fail_piece(std::size_t id, const std::string& what) const {
    throw IoError(cat(file_, ": byte ", origins_[id], ", ", name(id), ": ", what));
  }
  std::string model_type_name() const {
    return model_type_ == 2 ? "BPE" : model_type_ == 3 ? "WORD" : model_type_ == 4 ? "CHAR" : "an unknown type";
  }

  void piece(std::string_view bytes, std::size_t origin) {
    const std::size_t id = model_.pieces.size();
    if (id == SpieceModel::most_pieces) fail(cat("byte ", origin, ": more than ", SpieceModel::most_pieces, " pieces"));
    Piece& p = model_.pieces.emplace_back();
    origins_.push_back(origin);
    std::int32_t type = 1;
    WireReader r(bytes, origin, file_, "piece");
    while (r.next()) switch (r.field()) {
        case 1: p.text = r.bytes("piece"); break;
        case 2: p.score = r.float32("score"); break;
        case 3: type = r.int32("type"); break;
        default: r.skip();
      }
    if (type < 1 || type > 6) fail_piece(id, cat("type must be 1 to 6, got ", type));
    p.type = static_cast<PieceType>(type);
    if (p.text.empty()) fail_piece(id, "must not be empty");
    if (p.text.size() > SpieceModel::longest_piece) fail_piece(id, cat("must have at most ", SpieceModel::longest_piece, " bytes, got ", p.text.size()));
    if (const std::size_t bad = first_malformed_utf8(p.text); bad != p.text.size()) fail_piece(id, cat("must be UTF-8, byte ", bad, " is not"));
    if (!(std::fabs(p.score) <= SpieceModel::largest_score)) fail_piece(id, cat("score must be finite and within 1e9, got ", p.score));
    if (p.type == PieceType::byte) fail_piece(id, is_byte_name(p.text) ? "T5 has no byte pieces" : "byte pieces are named <0x00> to <0xFF>");
  }
  static bool is_byte_name(std::string_view s) {
    const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
    return s.size() == 6 && s.substr(0, 3) == "<0x" && hex(s[3]) && hex(s[4]) && s[5] == '>';
  }

  void trainer(std::string_view bytes, std::size_t origin) {
    WireReader r(bytes, origin, file_, "trainer_spec");
    while (r.next()) switch (r.field()) {
        case 3: model_type_ = r.int32("model_type"); break;
        case 24: model_.whitespace_as_suffix = r.boolean("treat_whitespace_as_suffix"); break;
        case 35: byte_fallback_ = r.boolean("byte_fallback"); break;
        case 40: special_id(r, "unk_id", SpieceModel::unknown); break;
        case 42: special_id(r, "eos_id", SpieceModel::eos); break;
        case 43: special_id(r, "pad_id", SpieceModel::pad); break;
        case 45: model_.unk_piece = special_name(r, "unk_piece"); break;
        case 46: model_.bos_piece = special_name(r, "bos_piece"); break;
        case 47: model_.eos_piece = special_name(r, "eos_piece"); break;
        case 48: model_.pad_piece = special_name(r, "pad_piece"); break;
        default: r.skip();
      }
  }
  static void special_id(WireReader& r, std::string_view field, std::int64_t wanted) {
    const std::int32_t id = r.int32(field);
    if (id != wanted) r.fail(cat(field, " must be ", wanted, ", got ", id));
  }
  static std::string special_name(WireReader& r, std::string_view field) {
    const std::string_view s = r.bytes(field);
    if (s.empty() || s.size() > SpieceModel::longest_piece || first_malformed_utf8(s) != s.size() || s.find('\0') != s.npos)
      r.fail(cat(field, " must be UTF-8 without NUL, 1 to ", SpieceModel::longest_piece, " bytes, got \"", printable(s, 64), "\""));
    return std::string(s);
  }

  void normalizer(std::string_view bytes, std::size_t origin) {
    WireReader r(bytes, origin, file_, "normalizer_spec");
    while (r.next()) switch (r.field()) {
        case 2:
          charsmap_ = r.bytes("precompiled_charsmap");
          charsmap_origin_ = r.offset();
          break;
        case 3: model_.add_dummy_prefix = r.boolean("add_dummy_prefix"); break;
        case 4: model_.remove_extra_whitespaces = r.boolean("remove_extra_whitespaces"); break;
        case 5: model_.escape_whitespaces = r.boolean("escape_whitespaces"); break;
        default: r.skip();
      }
  }

  /// T5 is trained with these three ids; a model with others would run and produce nonsense.
  void check_special() const {
    const auto& all = model_.pieces;
    if (all.size() < 4) fail(cat("must have <pad>, </s>, <unk> and a piece of text, got ", all.size(), " pieces"));
    const auto expect = [&](std::int64_t id, const std::string& text, PieceType type, std::string_view what) {
      const Piece& p = all[static_cast<std::size_t>(id)];
      if (p.text != text || p.type != type)
        fail_piece(static_cast<std::size_t>(id), cat("id ", id, " must be the ", what, " piece \"", printable(text, 64), "\", got type ", static_cast<int>(p.type)));
    };
    expect(SpieceModel::pad, model_.pad_piece, PieceType::control, "padding (control)");
    expect(SpieceModel::eos, model_.eos_piece, PieceType::control, "end-of-sequence (control)");
    expect(SpieceModel::unknown, model_.unk_piece, PieceType::unknown, "unknown");
    bool normal = false;
    for (std::size_t id = 0; id < all.size(); ++id) {
      normal = normal || all[id].type == PieceType::normal;
      if (all[id].type == PieceType::unknown && id != std::size_t{SpieceModel::unknown}) fail_piece(id, cat("a second unknown piece, id ", SpieceModel::unknown, " is one"));
    }
    if (!normal) fail("has no piece of type normal");
  }

  void check_duplicates() {
    auto& order = model_.by_text;
    order.resize(model_.pieces.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return model_.pieces[a].text < model_.pieces[b].text; });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (model_.pieces[order[i]].text == model_.pieces[order[i - 1]].text)
        fail_piece(std::max(order[i], order[i - 1]), cat("has the same text as ", name(std::min(order[i], order[i - 1]))));
  }

  std::string_view bytes_, file_, charsmap_;
  std::size_t charsmap_origin_ = 0;
  std::int32_t model_type_ = 1;
  bool byte_fallback_ = false;
  std::vector<std::size_t> origins_;
  SpieceModel model_;
};

/// A regular file as a whole, at most `limit` bytes.
inline std::string read_regular_file(const std::string& path, std::size_t limit) {
  const auto fail = [&](const std::string& what) { throw IoError(cat(printable(path, 1024), ": ", what)); };
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // non-blocking: a FIFO must not hang us
  if (fd < 0) fail(cat("cannot be opened: ", std::strerror(errno)));
  struct Close { int fd; ~Close() { ::close(fd); } } close{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail(cat("cannot be examined: ", std::strerror(errno)));
  if (!S_ISREG(info.st_mode)) fail("must be a regular file");
  if (static_cast<std::uint64_t>(info.st_size) > limit) fail(cat("has ", info.st_size, " bytes, at most ", limit, " are read"));
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(cat("cannot be read: ", std::strerror(errno)));
    if (n == 0) fail(cat("ended after ", done, " of ", bytes.size(), " bytes"));
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

/// Writes fields of one protobuf message.
class WireWriter {
 public:
  void varint(std::uint32_t field, std::uint64_t value) {
    raw(field << 3);
    raw(value);
  }
  void float32(std::uint32_t field, float value) {
    raw(field << 3 | 5);
    char b[4];
    std::memcpy(b, &value, 4);
    out_.append(b, 4);
  }
  void bytes(std::uint32_t field, std::string_view value) {
    raw(field << 3 | 2);
    raw(value.size());
    out_.append(value);
  }
  std::string take() { return std::move(out_); }

 private:
  void raw(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_.push_back(static_cast<char>(v | 0x80));
    out_.push_back(static_cast<char>(v));
  }
  std::string out_;
};

}  // namespace detail

inline SpieceModel SpieceModel::parse(std::string_view bytes, std::string_view file) {
  const std::string shown = printable(file, 1024);
  return detail::SpieceParser(bytes, shown).run();
}

inline SpieceModel SpieceModel::read(const std::string& path) { return parse(detail::read_regular_file(path, largest_file), path); }

inline std::string SpieceModel::serialized() const {
  detail::WireWriter model, trainer, normalizer;
  for (const Piece& p : pieces) {
    detail::WireWriter piece;
    piece.bytes(1, p.text);
    piece.float32(2, p.score);
    piece.varint(3, static_cast<std::uint64_t>(p.type));
    model.bytes(1, piece.take());
  }
  trainer.varint(3, 1);  // unigram
  trainer.varint(4, pieces.size());
  trainer.varint(24, whitespace_as_suffix);
  trainer.varint(40, std::uint64_t{unknown});
  trainer.varint(41, ~std::uint64_t{0});  // bos_id -1: none
  trainer.varint(42, std::uint64_t{eos});
  trainer.varint(43, std::uint64_t{pad});
  trainer.bytes(45, unk_piece);
  trainer.bytes(46, bos_piece);
  trainer.bytes(47, eos_piece);
  trainer.bytes(48, pad_piece);
  model.bytes(2, trainer.take());
  if (!charsmap_bytes.empty()) normalizer.bytes(2, charsmap_bytes);
  normalizer.varint(3, add_dummy_prefix);
  normalizer.varint(4, remove_extra_whitespaces);
  normalizer.varint(5, escape_whitespaces);
  model.bytes(3, normalizer.take());
  return model.take();
}

}  // namespace kinema::inline KINEMA_ABI::text
