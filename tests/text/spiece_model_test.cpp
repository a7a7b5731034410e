// tests/text/spiece_model_test.cpp - untrusted spiece.model files: what is accepted, what is refused, and in which words.
#include <kinema/text/spiece_model.hpp>
#include <kinema/text/unigram.hpp>

#include "support/catch.hpp"
#include "support/spiece_builder.hpp"

#include <cmath>
#include <limits>

using namespace kinema;
using test::SpieceFile;
using test::Wire;
using text::SpieceModel;

namespace {

std::string refusal(const std::string& bytes) {
  try {
    SpieceModel::parse(bytes, "t/spiece.model");
  } catch (const IoError& e) {
    return e.what();
  }
  return "(accepted)";
}
void refuses(const std::string& bytes, std::initializer_list<const char*> words) {
  const std::string message = refusal(bytes);
  INFO(message);
  CHECK(message.rfind("t/spiece.model: ", 0) == 0);
  for (const char* w : words) CHECK(message.find(w) != std::string::npos);
}
SpieceFile with_piece(std::size_t id, const std::string& piece) {
  SpieceFile f;
  if (id == f.pieces.size()) f.pieces.push_back(piece);
  else f.pieces[id] = piece;
  return f;
}

}  // namespace

TEST_CASE("spiece.model: a valid file", "[text]") {
  const SpieceModel m = SpieceModel::parse(SpieceFile{}.bytes(), "f");
  REQUIRE(m.pieces.size() == 11);
  CHECK(m.pieces[4].text == "a");
  CHECK(m.pieces[4].score == -3.0f);
  CHECK(m.pieces[4].type == text::PieceType::normal);
  CHECK(m.pieces[9].type == text::PieceType::user_defined);
  CHECK(m.add_dummy_prefix);
  CHECK(m.charsmap.longest_match("e\u0301x").replacement == "\u00e9");
  CHECK(m.charsmap.longest_match("e\u0301x").length == 3);
  CHECK(m.charsmap.longest_match("\t").replacement == " ");
  CHECK(m.charsmap.longest_match("ex").length == 0);
  CHECK(m.charsmap.longest_match("").length == 0);
  const std::string again = m.serialized();
  CHECK(SpieceModel::parse(again, "f").serialized() == again);
}

TEST_CASE("spiece.model: unknown fields are skipped, later scalars win, NUL inside a piece is accepted", "[text]") {
  SpieceFile f = with_piece(11, Wire{}.bytes(1, std::string_view("x\0y", 3)).float32(2, -9.0f).varint(9, 5).bytes(10, "zz").raw(11 << 3 | 1).out + std::string(8, 'q'));
  f.trainer += Wire{}.bytes(1, "corpus.txt").varint(4, 999).varint(43, 0).out;
  const SpieceModel m = SpieceModel::parse(f.bytes() + Wire{}.bytes(4, "self test data").bytes(5, "denormalizer").out, "f");
  CHECK(m.pieces[11].text == std::string("x\0y", 3));
}

TEST_CASE("spiece.model: wire format errors name the byte and the field", "[text]") {
  refuses("", {"is empty"});
  refuses("{\"a\": 1}", {"is text"});
  refuses("version https://git-lfs.github.com/spec/v1\n", {"git-lfs pointer"});
  refuses("\x0a", {"byte 1", "pieces", "cut off"});
  refuses("\x0a\xff", {"byte 1", "cut off"});
  refuses("\x0a" + std::string(10, '\xff') + "\x01", {"does not fit in 64 bits"});
  refuses("\x0a\x05" "ab", {"pieces is 5 bytes long, but only 2 are left"});
  refuses("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", {"18446744073709551615 bytes long"});
  refuses("\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" "x", {"9223372036854775808 bytes long"});
  refuses(std::string("\x02\x00", 2), {"field numbers are 1 to", "got 0"});
  refuses("\x0b", {"groups"});
  refuses("\x0c", {"groups"});
  refuses("\x0e", {"wire types", "got 6"});
  refuses(std::string("\x08\x01", 2), {"pieces must have wire type 2, got 0"});
  refuses("\x29" "1234567", {"needs 8 bytes, but only 7 are left"});
  refuses(with_piece(4, Wire{}.bytes(1, "a").varint(2, 1).out).bytes(), {"score must have wire type 5, got 0"});
  refuses(with_piece(4, Wire{}.bytes(1, "a").varint(3, std::uint64_t{1} << 40).out).bytes(), {"type must fit in 32 bits"});
  refuses(Wire{}.bytes(2, SpieceFile{}.trainer).out, {"has no pieces"});
}

TEST_CASE("spiece.model: pieces", "[text]") {
  refuses(with_piece(4, test::spiece("", -1)).bytes(), {"piece 4", "must not be empty"});
  refuses(with_piece(4, Wire{}.float32(2, -1).out).bytes(), {"piece 4", "must not be empty"});
  refuses(with_piece(4, test::spiece(std::string(4097, 'x'), -1)).bytes(), {"piece 4", "at most 4096 bytes, got 4097"});
  CHECK(refusal(with_piece(4, test::spiece(std::string(4096, 'x'), -1)).bytes()) == "(accepted)");
  for (const char* bad : {"\x80", "a\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x96"})
    refuses(with_piece(4, test::spiece(bad, -1)).bytes(), {"piece 4", "must be UTF-8"});
  refuses(with_piece(5, test::spiece("a", -1)).bytes(), {"piece 5", "same text as piece 4"});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), 1e38f})
    refuses(with_piece(4, test::spiece("a", bad)).bytes(), {"piece 4 (\"a\")", "score must be finite"});
  refuses(with_piece(4, test::spiece("a", -1, 7)).bytes(), {"type must be 1 to 6, got 7"});
  refuses(with_piece(4, test::spiece("a", -1, 0)).bytes(), {"type must be 1 to 6, got 0"});
  refuses(with_piece(4, test::spiece("a", -1, 2)).bytes(), {"piece 4", "second unknown piece"});
  for (const char* bad : {"<0x-1>", "<0xZZ>", "<0x100>", "<0x1>", "0x41"}) refuses(with_piece(4, test::spiece(bad, -1, 6)).bytes(), {"<0x00> to <0xFF>"});
  refuses(with_piece(4, test::spiece("<0x4A>", -1, 6)).bytes(), {"T5 has no byte pieces"});  // sentencepiece refuses them too without byte_fallback
}

TEST_CASE("spiece.model: special pieces and model type", "[text]") {
  refuses(with_piece(0, test::spiece("<s>", 0, 3)).bytes(), {"piece 0", "padding", "<pad>"});
  refuses(with_piece(0, test::spiece("<pad>", 0, 1)).bytes(), {"piece 0", "control", "got type 1"});
  refuses(with_piece(1, test::spiece("<s>", 0, 3)).bytes(), {"piece 1", "end-of-sequence"});
  refuses(with_piece(2, test::spiece("<unk>", 0, 3)).bytes(), {"piece 2", "unknown", "got type 3"});
  SpieceFile f;
  f.pieces.resize(3);
  refuses(f.bytes(), {"got 3 pieces"});
  f = {};
  for (std::size_t i = 3; i < f.pieces.size(); ++i) f.pieces[i] = test::spiece("c" + std::to_string(i), -1, 4);
  refuses(f.bytes(), {"no piece of type normal"});
  const auto trainer = [](const std::string& t) {
    SpieceFile file;
    file.trainer = t;
    return file.bytes();
  };
  refuses(trainer(Wire{}.varint(3, 2).out), {"must be unigram", "BPE"});
  refuses(trainer(Wire{}.varint(3, 3).out), {"must be unigram", "WORD"});
  refuses(trainer(Wire{}.varint(3, 4).out), {"must be unigram", "CHAR"});
  refuses(trainer(Wire{}.varint(3, 9).out), {"must be unigram", "(9)"});
  refuses(trainer(Wire{}.varint(42, 2).out), {"eos_id must be 1, got 2"});
  refuses(trainer(Wire{}.varint(40, 0).out), {"unk_id must be 2, got 0"});
  refuses(trainer(Wire{}.varint(43, ~std::uint64_t{0}).out), {"pad_id must be 0, got -1"});
  refuses(trainer(Wire{}.varint(35, 1).out), {"byte_fallback"});
  refuses(trainer(Wire{}.bytes(47, "").out), {"eos_piece must be UTF-8"});
  CHECK(refusal(trainer("")) == "(accepted)");
}

TEST_CASE("spiece.model: normalisation map", "[text]") {
  const auto with = [](const std::string& charsmap) {
    SpieceFile f;
    f.charsmap = charsmap;
    return f.bytes();
  };
  const test::CharsmapBuilder good(test::Rules{{"\t", " "}, {"A", "a"}});
  CHECK(refusal(with("")) == "(accepted)");
  CHECK(refusal(with(good.blob())) == "(accepted)");
  refuses(with("abc"), {"precompiled_charsmap", "at least 4 bytes"});
  refuses(with(std::string("\xff\xff\xff\x7f", 4)), {"the trie has 2147483647 bytes, but only 0 are left"});
  refuses(with(std::string("\x03\x00\x00\x00", 4) + "abcd"), {"multiple of 4, got 3"});
  refuses(with(std::string("\x00\x00\x00\x00x\0", 6)), {"multiple of 4, got 0"});
  const auto changed = [&](std::size_t unit, std::uint32_t value) {
    test::CharsmapBuilder b = good;
    b.units[unit] = value;
    return with(b.blob());
  };
  const std::uint32_t root = 256;
  refuses(changed(0, 0x3fffffu << 10), {"unit 0 leads to unit"});                                        // far outside
  refuses(changed(root ^ 'A', (0x1fffffu << 10) | 'A'), {"leads to unit"});
  refuses(changed(root ^ 'B', ((root ^ 'B' ^ root) << 10) | 'B'), {"leads back to unit", "cycle"});      // a loop at the root
  refuses(changed(512, 0x80000000u | 99), {"points to replacement byte 99"});                            // the first rule's value
  test::CharsmapBuilder b = good;
  b.pool.pop_back();
  refuses(with(b.blob()), {"must end with a NUL"});
  b.pool.clear();
  refuses(with(b.blob()), {"must end with a NUL"});
  refuses(with(test::CharsmapBuilder(test::Rules{{"A", "\xff"}}).blob()), {"replacements must be UTF-8"});
  refuses(with(test::CharsmapBuilder(test::Rules{{"A", std::string(1025, 'x')}}).blob()), {"replacements have at most 1024 bytes"});
  CHECK(refusal(with(test::CharsmapBuilder(test::Rules{{"A", std::string(1024, 'x')}}).blob())) == "(accepted)");
  test::Rules nested;
  for (std::size_t n = 1; n <= 32; ++n) nested.emplace_back(std::string(n, 'x'), "y");
  CHECK(refusal(with(test::CharsmapBuilder(nested).blob())) == "(accepted)");
  nested.emplace_back(std::string(33, 'x'), "y");
  refuses(with(test::CharsmapBuilder(nested).blob()), {"more than 32 keys are prefixes"});
}

TEST_CASE("spiece.model: a map that blows text up is stopped", "[text]") {
  SpieceFile f;
  f.charsmap = test::CharsmapBuilder(test::Rules{{"A", std::string(1000, 'b')}}).blob();
  const SpieceModel m = SpieceModel::parse(f.bytes(), "f");
  const text::Normalizer normalizer(m);
  CHECK(normalizer("A").size() == 1003);
  CHECK_THROWS_AS(normalizer("AAAA"), ArgumentError);
}

TEST_CASE("spiece.model: every truncation and every flipped bit is refused in words or leaves a usable model", "[text]") {
  SpieceFile f;
  f.charsmap = test::CharsmapBuilder(test::Rules{{"\t", " "}, {"A", "a"}}).blob();
  const std::string good = f.bytes();
  std::size_t refused = 0;
  const auto try_one = [&](const std::string& bytes) {
    try {
      const SpieceModel m = SpieceModel::parse(bytes, "f");
      const text::Normalizer normalizer(m);
      const text::Unigram unigram(m);
      unigram(normalizer("\tA b\u00e9 zz ab  \u1234"));
      const std::string again = m.serialized();
      if (SpieceModel::parse(again, "f").serialized() != again) FAIL("an accepted model does not survive being written");
    } catch (const IoError& e) {
      ++refused;
      if (std::string(e.what()).rfind("f: ", 0) != 0) FAIL(e.what());
    } catch (const ArgumentError&) {  // a map that now blows text up
    }
  };
  for (std::size_t n = 0; n < good.size(); ++n) try_one(good.substr(0, n));
  CHECK(refused > good.size() * 9 / 10);
  refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      try_one(bytes);
    }
  CHECK(refused > 500);
}

TEST_CASE("spiece.model: not a file to read", "[text]") {
  const auto message = [](const std::string& path) -> std::string {
    try {
      SpieceModel::read(path);
    } catch (const IoError& e) {
      return e.what();
    }
    return "(read)";
  };
  CHECK(message("/nonexistent/spiece.model").rfind("/nonexistent/spiece.model: cannot be opened", 0) == 0);
  CHECK(message("/dev/null") == "/dev/null: must be a regular file");
  CHECK(message("/tmp") == "/tmp: must be a regular file");
}
