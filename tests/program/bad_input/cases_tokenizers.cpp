// tests/program/bad_input/cases_tokenizers.cpp - spiece.model, field by field, and the files beside it.
#include "bytes.hpp"
#include "case.hpp"

#include <limits>

namespace bad_input {

void add_tokenizers(Cases& cases) {
  const auto refuse = [&](const std::string& name, Words words, const std::string& bytes) {
    words.push_back("spiece.model");
    cases.push_back({"spiece.model: " + name, {3}, words, tokenize(), [bytes](const Folder& f) { f.replace("model/tokenizer/spiece.model", bytes); }});
  };
  const auto accept = [&](const std::string& name, const Words& words, const std::string& bytes) {
    cases.push_back({"spiece.model valid: " + name, {0}, words, tokenize({"--prompt", "ab c"}), [bytes](const Folder& f) { f.replace("model/tokenizer/spiece.model", bytes); }});
  };
  refuse("P01 empty", {"empty"}, "");
  refuse("P02 varint cut off", {"byte"}, "\x80");
  refuse("P03 varint of 11 bytes", {"byte"}, std::string(11, '\x80'));
  refuse("P04 field number 0", {"field number"}, std::string("\0\0", 2));
  refuse("P05 group", {"group"}, "\x0b");
  refuse("P05 wire type 6", {"wire type"}, "\x0e");
  refuse("P06 length beyond the buffer", {"byte", "bytes"}, "\x0a\x7fxy");
  refuse("P07 length 2^63", {"byte"}, std::string("\x0a") + varint(1ull << 63));
  refuse("P07 length 2^64-1", {"byte"}, std::string("\x0a") + varint(~0ull));
  refuse("P09 no pieces", {"no pieces"}, trainer());
  refuse("P09 only special pieces", {"pieces"}, special_pieces() + trainer());
  refuse("P10 a piece of 5000 bytes", {"4096", "5000"}, spiece(piece(std::string(5000, 'x'), -5, normal)));
  refuse("P11 an empty piece", {"empty"}, spiece(piece("", -5, normal)));
  refuse("P12 a piece that is not UTF-8", {"UTF-8"}, spiece(piece("\xC3", -5, normal)));
  refuse("P13 a piece twice", {"piece 6", "piece 4"}, spiece(piece("a", -5, normal)));
  refuse("P14 score NaN", {"score"}, spiece(piece("x", std::numeric_limits<float>::quiet_NaN(), normal)));
  refuse("P14 score infinite", {"score"}, spiece(piece("x", -std::numeric_limits<float>::infinity(), normal)));
  refuse("P14 score 1e38", {"score"}, spiece(piece("x", 1e38f, normal)));
  refuse("P15 piece of type 9", {"type"}, spiece(piece("x", -5, 9)));
  refuse("P15 two unknown pieces", {"unknown"}, spiece(piece("x", 0, unknown)));
  refuse("P15 no unknown piece", {"id 2"}, piece("<pad>", 0, control) + piece("</s>", 0, control) + piece("x", -1, normal) + piece("a", -2, normal) + trainer());
  refuse("P16 eos is elsewhere", {"eos_id"}, special_pieces() + piece("a", -1, normal) + field_bytes(2, field_varint(3, 1) + field_varint(42, 2)));
  refuse("P16 unk is elsewhere", {"unk_id"}, special_pieces() + piece("a", -1, normal) + field_bytes(2, field_varint(3, 1) + field_varint(40, 0)));
  refuse("P16 special pieces in another order", {"id 0"}, piece("<unk>", 0, unknown) + piece("</s>", 0, control) + piece("<pad>", 0, control) + piece("a", -1, normal) + trainer());
  for (const char* name : {"<0x-1>", "<0xZZ>", "<0x100>", "0x00"}) refuse(std::string("P17 byte piece ") + name, {"byte pieces"}, spiece(piece(name, 0, byte)));
  for (const auto& [type, name] : {std::pair{2, "BPE"}, std::pair{3, "WORD"}, std::pair{4, "CHAR"}, std::pair{77, "77"}})
    refuse(std::string("P18 ") + name, {"unigram", name}, spiece() + field_bytes(2, field_varint(3, static_cast<std::uint64_t>(type))));
  refuse("P17 a byte piece", {"no byte pieces"}, spiece(piece("<0x0A>", 0, byte)));
  refuse("byte_fallback", {"byte_fallback"}, spiece({}, field_varint(35, 1)));
  const auto charsmap = [&](const std::string& blob) { return spiece() + field_bytes(3, field_bytes(2, blob)); };
  refuse("P19 charsmap of 2 bytes", {"precompiled_charsmap", "4 bytes"}, charsmap("xx"));
  refuse("P19 trie larger than the map", {"precompiled_charsmap", "1000 bytes"}, charsmap(little_endian(1000, 4) + "xxxx"));
  refuse("P19 trie of 5 bytes", {"precompiled_charsmap", "multiple of 4"}, charsmap(little_endian(5, 4) + "xxxxxxxx"));
  refuse("P19 trie of 0 bytes", {"precompiled_charsmap"}, charsmap(little_endian(0, 4) + "x"));
  refuse("P19 unit out of range", {"precompiled_charsmap", "leads to unit"}, charsmap(little_endian(4, 4) + little_endian(0xFFFFFFFF, 4) + std::string(1, '\0')));
  refuse("P20 no NUL at the end", {"precompiled_charsmap", "NUL"}, charsmap(little_endian(1024, 4) + std::string(1024, '\0') + "x"));
  refuse("pieces is a number", {"wire type"}, field_varint(1, 5) + spiece());
  refuse("score is text", {"wire type"}, spiece(field_bytes(1, field_bytes(1, "x") + field_bytes(2, "y"))));
  refuse("JSON", {"JSON"}, "{\"model\": {}}");
  refuse("HTML", {"HTML"}, "<html></html>");
  refuse("gzip", {"gzip"}, "\x1f\x8b\x08xxxxxxxx");
  refuse("LFS pointer", {"lfs"}, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  std::string many;
  for (int i = 0; i < 200; ++i) many += piece("p" + std::to_string(i), -5, normal);
  refuse("more pieces than embedding rows", {"206", "128"}, spiece(many));
  refuse("the file cut in the middle", {"byte"}, spiece().substr(0, spiece().size() - 3));

  accept("the least", {}, spiece());
  accept("unknown fields", {}, spiece() + field_varint(77, 1) + field_bytes(78, "x") + field_float(79, 1) + varint(80 << 3 | 1) + "12345678");
  accept("a piece with NUL", {}, spiece(piece(std::string("x\0y", 3), -5, normal)));
  accept("user-defined and unused pieces", {}, spiece(piece("ab", 0, user_defined) + piece("q", -5, unused)));
  accept("control pieces more", {}, spiece(piece("<extra>", 0, control)));
  accept("trainer first", {}, trainer() + special_pieces() + piece("a", -1, normal));
  accept("no trainer", {}, special_pieces() + piece("a", -1, normal));

  const auto other = [&](const std::string& name, std::vector<int> codes, const Words& words, std::function<void(const Folder&)> prepare) {
    cases.push_back({"tokenizer folder: " + name, std::move(codes), words, tokenize(), std::move(prepare)});
  };
  other("no spiece.model", {3}, {"spiece.model"}, [](const Folder& f) { f.remove("model/tokenizer/spiece.model"); });
  other("tokenizer.json alone", {3}, {"spiece.model", "tokenizer.json"}, [](const Folder& f) {
    f.remove("model/tokenizer/spiece.model");
    f.replace("model/tokenizer/tokenizer.json", "{}");
  });
  other("spiece.model is a folder", {3}, {"spiece.model"}, [](const Folder& f) {
    f.remove("model/tokenizer/spiece.model");
    f.folder("model/tokenizer/spiece.model");
  });
  other("tokenizer_config.json is no JSON", {3}, {"tokenizer_config.json"}, [](const Folder& f) { f.replace("model/tokenizer/tokenizer_config.json", "{"); });
  other("extra_ids is a string", {3}, {"tokenizer_config.json", "extra_ids"}, [](const Folder& f) { f.replace("model/tokenizer/tokenizer_config.json", R"({"extra_ids": "100"})"); });
  other("extra_ids is negative", {3}, {"tokenizer_config.json", "extra_ids"}, [](const Folder& f) { f.replace("model/tokenizer/tokenizer_config.json", R"({"extra_ids": -1})"); });
  other("extra_ids 100", {0}, {}, [](const Folder& f) { f.replace("model/tokenizer/tokenizer_config.json", R"({"extra_ids": 100, "model_max_length": 226})"); });
  other("more files", {0}, {}, [](const Folder& f) {
    f.replace("model/tokenizer/special_tokens_map.json", "{");
    f.replace("model/tokenizer/added_tokens.json", "{}");
    f.replace("model/tokenizer/tokenizer.json", "{}");
  });
}

}  // namespace bad_input
