// tests/text/sentencepiece_test.cpp - token ids: against the reference's, the library's against our own, and hostile prompts.
#include <kinema/io/json.hpp>
#include <kinema/text/sentencepiece.hpp>

#include "support/catch.hpp"
#include "support/spiece_builder.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

using namespace kinema;
using text::T5Tokenizer;
using Ids = std::vector<std::int64_t>;

namespace {

#ifndef KINEMA_GOLDEN_DIR
#error "define KINEMA_GOLDEN_DIR as the folder tests/golden"
#endif
std::filesystem::path golden() { return std::filesystem::path(KINEMA_GOLDEN_DIR) / "tokenizer"; }

Ids padded(Ids ids, std::size_t n) {
  ids.resize(n, 0);
  return ids;
}

/// A text of unlike parts: pieces of the model, blanks, combining and compatibility characters, any character at all.
std::string random_text(std::mt19937& random, const text::SpieceModel& model) {
  static const std::u32string awkward = U" \t\n\u2581\u3000\u0300\u0301\ufb01\U0001f600\u200d\ufe0f\u0085\u00ad\ufffd\uff21\uff76\uff9e\u1112\u1161\u11ab\u007f\u0001\u00b4\u00a0"
                                        U"\u00a8\u2126\u337f\ufdfa\u0344" + std::u32string(1, U'\0');
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  const auto put = [](std::string& s, std::uint32_t c) {
    const auto tail = [&](int shift) { s += static_cast<char>(0x80 | ((c >> shift) & 63)); };
    if (c < 0x80) s += static_cast<char>(c);
    else if (c < 0x800) s += static_cast<char>(0xC0 | c >> 6), tail(0);
    else if (c < 0x10000) s += static_cast<char>(0xE0 | c >> 12), tail(6), tail(0);
    else s += static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0);
  };
  std::string s;
  for (std::size_t left = below(40); left > 0; --left) switch (below(5)) {
      case 0: put(s, awkward[below(awkward.size())]); break;
      case 1: s += model.pieces[3 + below(model.pieces.size() - 3)].text; break;
      case 2: put(s, static_cast<std::uint32_t>(0x20 + below(0x5f))); break;
      case 3: put(s, static_cast<std::uint32_t>(below(0x3000))); break;
      default: {
        auto c = static_cast<std::uint32_t>(below(0x30000));
        put(s, c >= 0xD800 && c < 0xE000 ? c - 0x800 : c);
      }
    }
  return s;
}

template <class E, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "(nothing thrown)";
}

std::filesystem::path scratch_folder(const char* name) {
  const auto folder = std::filesystem::temp_directory_path() / (std::string("kinema_tokenizer_") + name + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

TEST_CASE("tokenizer: ids of awkward prompts are the reference's", "[text]") {
  const T5Tokenizer t = T5Tokenizer::load(golden().string());
  const text::Normalizer normalizer(t.model());
  const io::Json file = io::Json::read(golden() / "case.json");
  const std::int64_t length = file.integer("max_length"), short_length = file.integer("short_length");
  CHECK(t.vocabulary() == file.integer("pieces") + 100);
  const io::Json prompts = file.at("prompts");
  REQUIRE(prompts.size() > 100);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const io::Json p = prompts.at(i);
    const std::string prompt = p.string("prompt");
    INFO("prompt " << i << ": " << printable(prompt));
    const Ids expected = p.integers("ids");
    const text::Tokens tokens = t.encode(prompt, length);
    CHECK(tokens.ids == padded(expected, static_cast<std::size_t>(length)));
    CHECK(tokens.used == static_cast<std::int64_t>(expected.size()));
    CHECK(t.encode(prompt, short_length).ids == padded(p.integers("short_ids", expected), static_cast<std::size_t>(short_length)));
    CHECK(normalizer(prompt) == p.string("normalized"));
  }
}

TEST_CASE("tokenizer: our segmentation is the library's, bit for bit", "[text]") {
  const T5Tokenizer trained = T5Tokenizer::load(golden().string());
  const T5Tokenizer built(text::SpieceModel::parse(test::SpieceFile{}.bytes(), "f"));
  std::mt19937 random(7);
  for (const T5Tokenizer& t : {trained, built})
    for (int i = 0; i < 10000; ++i) {
      const std::string s = random_text(random, t.model());
      if (t.own_pieces(s) != t.library_pieces(s)) FAIL(printable(s, 1000));
    }
}

TEST_CASE("tokenizer: models of other shapes also agree with the library", "[text]") {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    test::SpieceFile f;
    f.pieces.resize(4);
    std::vector<std::string> seen = {"<pad>", "</s>", "<unk>", "\u2581"};
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (std::size_t n = 1 + random() % 4; n > 0; --n) text += std::array<const char*, 5>{"a", "b", "c", "\u2581", "\u00e9"}[random() % 5];
      if (std::find(seen.begin(), seen.end(), text) != seen.end()) continue;
      seen.push_back(text);
      // Few different scores, so that ties and last-place roundings decide.
      const int type = random() % 8 == 0 ? 4 : random() % 8 == 0 ? 5 : 1;
      f.pieces.push_back(test::spiece(text, -0.1f * static_cast<float>(random() % 7), type));
    }
    f.extra_normalizer = test::Wire{}.varint(3, random() % 2).varint(4, random() % 2).varint(5, random() % 2).out;
    f.trainer += test::Wire{}.varint(24, random() % 2).out;
    const T5Tokenizer t(text::SpieceModel::parse(f.bytes(), "f"));
    for (int i = 0; i < 100; ++i) {
      std::string s;
      for (std::size_t n = random() % 30; n > 0; --n) s += std::array<const char*, 8>{"a", "b", "c", " ", "\u00e9", "x", "A", "\u2581"}[random() % 8];
      if (t.own_pieces(s) != t.library_pieces(s)) FAIL("round " << round << ": " << printable(s, 1000));
    }
  }
}

TEST_CASE("tokenizer: what validation accepts the library also accepts, and both agree", "[text]") {
  test::SpieceFile f;
  f.charsmap = test::CharsmapBuilder(test::Rules{{"\t", " "}, {"A", "a"}}).blob();
  const std::string good = f.bytes();
  std::size_t accepted = 0;
  for (std::size_t at = 0; at < good.size() * 8; at += 1 + at % 5) {
    std::string bytes = good;
    bytes[at / 8] = static_cast<char>(bytes[at / 8] ^ (1 << at % 8));
    try {
      const T5Tokenizer t(text::SpieceModel::parse(bytes, "f"));
      for (const char* s : {"ab ba a", "\tA b\u00e9 zz ab  \u1234", " zz "})
        if (t.has_library() && t.own_pieces(s) != t.library_pieces(s)) FAIL("bit " << at << ": " << s);
      ++accepted;
    } catch (const IoError&) {
    } catch (const ArgumentError&) {
    }
  }
  CHECK(accepted > 100);
}

TEST_CASE("tokenizer: special tokens, truncation and what it loses", "[text]") {
  const T5Tokenizer t(text::SpieceModel::parse(test::SpieceFile{}.bytes(), "f"), {.embedding_rows = 20, .extra_ids = 5});
  // pieces: 3 '▁', 4 a, 5 b, 6 ab, 7 '▁a', 8 é; <extra_id_k> = 15 - k
  CHECK(t.vocabulary() == 16);
  CHECK(t.encode("a", 5).ids == Ids{7, 1, 0, 0, 0});
  CHECK(t.encode("", 3).ids == Ids{1, 0, 0});
  CHECK(t.encode("a<pad>b", 7).ids == Ids{7, 0, 3, 5, 1, 0, 0});
  CHECK(t.encode("a</s>", 4).ids == Ids{7, 1, 0, 0});
  CHECK(t.encode("</s>a", 4).ids == Ids{1, 7, 1, 0});
  CHECK(t.encode("<unk>", 4).ids == Ids{2, 1, 0, 0});
  CHECK(t.encode("<extra_id_0><extra_id_4>", 4).ids == Ids{15, 11, 1, 0});
  CHECK(t.encode("<extra_id_5>", 4).ids == Ids{3, 2, 4, 1});   // no such sentinel: text, cut
  CHECK(t.encode("<extra_id_04>", 3).ids == Ids{3, 2, 1});
  const text::Tokens cut = t.encode("a a a and b", 4);
  CHECK(cut.ids == Ids{7, 7, 7, 1});
  CHECK(cut.used == 4);
  CHECK(cut.lost == "and b");
  CHECK(t.encode("a a a", 4).lost.empty());
  CHECK(t.encode("a a a<pad>b", 4).lost == "<pad>b");
  CHECK(t.encode("a", 1).ids == Ids{1});
  CHECK(t.encode("a", 1).lost == "a");
  CHECK(message_of<ArgumentError>([&] { t.encode("a", 0); }).find("max_length must be 1 or more, got 0") != std::string::npos);
  const T5Tokenizer wide(text::SpieceModel::parse(test::SpieceFile{}.bytes(), "f"), {.embedding_rows = 20});
  CHECK(message_of<ArgumentError>([&] { wide.encode("<extra_id_0>", 4); }).find("<extra_id_0> has id 110, but the text encoder's embedding table has 20 rows") != std::string::npos);
}

TEST_CASE("tokenizer: long texts lose the same words through the library and without it", "[text]") {
  const T5Tokenizer t = T5Tokenizer::load(golden().string());
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    std::string s = random_text(random, t.model()) + " fox " + random_text(random, t.model());
    for (std::size_t at = 0; (at = s.find('<', at)) != s.npos;) s[at] = '-';
    const text::Tokens through_library = t.encode(s, 9);
    std::string long_text = s;
    while (long_text.size() <= T5Tokenizer::library_limit) long_text += " fox";
    const text::Tokens own = t.encode(long_text, 9);
    if (through_library.lost.empty()) continue;
    CHECK(own.ids == through_library.ids);
    CHECK(own.lost.rfind(through_library.lost, 0) == 0);
  }
}

TEST_CASE("tokenizer: malformed UTF-8 is refused with its place", "[text]") {
  const T5Tokenizer t(text::SpieceModel::parse(test::SpieceFile{}.bytes(), "f"));
  for (const char* bad : {"ab\x80", "ab\xc0\xaf", "ab\xed\xa0\x80", "ab\xf4\x90\x80\x80", "ab\xf5", "ab\xe2\x82", "ab\xff"}) {
    const std::string message = message_of<ArgumentError>([&] { t.encode(bad, 9); });
    INFO(message);
    CHECK(message.rfind("prompt: must be UTF-8, byte 2 is not", 0) == 0);
  }
}

TEST_CASE("tokenizer: files", "[text]") {
  const auto folder = scratch_folder("files");
  const auto load = [&](T5Tokenizer::Options o = {}) { return message_of<IoError>([&] { T5Tokenizer::load(folder.string(), o); }); };
  CHECK(load().find("spiece.model: cannot be opened") != std::string::npos);
  std::ofstream(folder / "tokenizer.json") << "{}";
  CHECK(load().find("has tokenizer.json but no spiece.model") != std::string::npos);
  std::ofstream(folder / "spiece.model") << test::SpieceFile{}.bytes();
  CHECK(load() == "(nothing thrown)");
  CHECK(load({.embedding_rows = 11}) == "(nothing thrown)");
  CHECK(load({.embedding_rows = 10}).find("has 11 pieces, but the text encoder's embedding table has 10 rows") != std::string::npos);
  std::filesystem::remove(folder / "spiece.model");
  REQUIRE(::mkfifo((folder / "spiece.model").c_str(), 0600) == 0);
  CHECK(load().find("must be a regular file") != std::string::npos);  // at once: nobody writes into this FIFO
  std::filesystem::remove_all(folder);
}

TEST_CASE("tokenizer: a mebibyte of anything takes less than a second and 64 MiB", "[text]") {
  const T5Tokenizer t = T5Tokenizer::load(golden().string());
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  [[maybe_unused]] const auto before = peak_kib();
  for (const std::string& part : std::vector<std::string>{"a", " ", "a red fox ", "<", "<pad>", "a<unk>", "<extra_id_", "\U0001f98a", "\ufdfa", "e\u0301", "\u2581", std::string(1, '\0')}) {
    std::string s;
    while (s.size() < (std::size_t{1} << 20)) s += part;
    INFO(printable(part));
    const auto start = std::chrono::steady_clock::now();
    const text::Tokens tokens = t.encode(s, 226);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(tokens.ids.size() == 226);
    CHECK(seconds < 1.0);
  }
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(peak_kib() - before < 64 * 1024);
#endif
}
