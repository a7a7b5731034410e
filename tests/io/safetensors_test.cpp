// tests/io/safetensors_test.cpp - every malformed file is refused with its reason, every valid one read, bytes kept.
#include "io/scratch_folder.hpp"

#include <kinema/io/safetensors.hpp>
#include <kinema/tensor/slice.hpp>

#include <cmath>
#include <limits>

using namespace kinema;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

std::string little_endian(std::uint64_t n) {
  std::string s;
  for (int i = 0; i < 8; ++i) s += static_cast<char>(n >> (8 * i) & 255);
  return s;
}
std::string big_endian(std::uint64_t n) {
  std::string s = little_endian(n);
  std::reverse(s.begin(), s.end());
  return s;
}
std::string file_of(const std::string& header, const std::string& data = "") {
  return little_endian(header.size()) + header + data;
}
std::string zeros_of(std::size_t n) { return std::string(n, '\0'); }
std::string repeated(const std::string& s, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += s;
  return out;
}
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}
/// One tensor `a` with this entry text and data.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets, std::size_t data = 16) {
  return file_of("{" + entry("a", dtype, shape, offsets) + "}", zeros_of(data));
}
io::SafetensorsHeader parse(const std::string& bytes) {
  // A buffer of its own, so that a sanitizer sees the first byte read behind it.
  const std::vector<unsigned char> exact(bytes.begin(), bytes.end());
  return io::parse_safetensors(exact, "x.safetensors");
}

struct Refused {
  const char* label;
  std::string bytes;
  const char* reason;
};

std::vector<Refused> refused_files() {
  const std::string f32 = "\"F32\"", ok = entry("a", f32, "[4]", "[0,16]"),
                    valid = file_of("{" + ok + "}", zeros_of(16));
  const std::string max_u64 = "18446744073709551615";
  return {
      {"S01", "", "file is 0 bytes; a safetensors file has at least 10"},
      {"S02", zeros_of(7), "file is 7 bytes"},
      {"S03", little_endian(0), "header is empty; expected `{`"},
      {"S04", little_endian(1000) + "{}", "header length 1000, but the file has 10 bytes, 2 of them"},
      {"S05", little_endian(~std::uint64_t{0}) + "{}", "above the cap of 100000000 bytes"},
      {"S06", little_endian(~std::uint64_t{0} - 7) + "{}", "above the cap"},
      {"S07", little_endian(std::uint64_t{1} << 63) + "{}", "above the cap"},
      {"S08", little_endian(100'000'001) + "{}", "header length 100000001 is above the cap of 100000000"},
      {"S09", little_endian(1) + "{}", "ends early"},
      {"S10", big_endian(2) + "{}", "byte order?"},
      {"S11", file_of("\xFF"), "invalid UTF-8 at line 1, column 1 (byte 0)"},
      {"S12", file_of("{\"\xC0\xAF\":1}"), "invalid UTF-8 at line 1, column 3 (byte 2)"},
      {"S13", file_of("{\"\xED\xA0\x80\":1}"), "invalid UTF-8 at line 1, column 3 (byte 2)"},
      {"S14", file_of("{\"\\ud800\":1}"), "surrogate"},
      {"S15", file_of("\xEF\xBB\xBF{}"), "byte order mark"},
      {"S16", file_of("{"), "ends early"},
      {"S17", file_of("[]"), "header must be a JSON object, found an array"},
      {"S18", file_of("null"), "header must be a JSON object, found null"},
      {"S19", file_of("{}x"), "invalid JSON at line 1, column 3"},
      {"S20", file_of("{}{}"), "invalid JSON at line 1, column 3"},
      {"S21", file_of("{}" + zeros_of(6)), "control byte \\x00 at line 1, column 3"},
      {"S22", file_of(std::string("{\0}", 3)), "control byte \\x00"},
      {"S23", file_of(std::string(100'000, '[')), "nesting limit 64 reached at line 1, column 65"},
      {"S24", file_of("{\"__metadata__\":{\"k\":" + repeated("[", 200) + repeated("]", 200) + "}}"),
       "nesting limit 64"},
      {"S24b", file_of("{\"__metadata__\":{\"k\":[[]]}}"), "`__metadata__.k` must be a string, found an array"},
      {"S25", file_of("{\"a\":[]}"), "tensor `a`: entry must be an object, found an array"},
      {"S26", file_of("{\"a\":\"b\"}"), "tensor `a`: entry must be an object, found a string"},
      {"S27", file_of("{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", zeros_of(16)), "`a`: missing `dtype`"},
      {"S28", file_of("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", zeros_of(16)), "`a`: missing `shape`"},
      {"S29", file_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", zeros_of(16)), "`a`: missing `data_offsets`"},
      {"S30",
       file_of("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", zeros_of(16)),
       "`a`: duplicate field `dtype`"},
      {"S31", one("\"Q4_0\"", "[4]", "[0,16]"), "unknown dtype \"Q4_0\", known are F64, F32"},
      {"S32", one("\"f32\"", "[4]", "[0,16]"), "did you mean F32?"},
      {"S33", one("1", "[4]", "[0,16]"), "`a`: dtype must be a string, found an integer"},
      {"S34", one(f32, "[-2,-2]", "[0,16]"), "`a`: dim 0 is negative"},
      {"S35", one(f32, "[2.0,2]", "[0,16]"), "`a`: dim 0 is not an integer literal"},
      {"S36", one(f32, "[4e0]", "[0,16]"), "`a`: dim 0 is not an integer literal"},
      {"S37", one(f32, "[1e30]", "[0,16]"), "`a`: dim 0 is not an integer literal"},
      {"S38", one(f32, "[\"2\",2]", "[0,16]"), "`a`: dim 0 is not an integer, got the string \"2\""},
      {"S39", one(f32, "null", "[0,16]"), "`a`: shape must be an array, found null"},
      {"S40", one(f32, "[[2,2]]", "[0,16]"), "`a`: dim 0 is not an integer, got an array"},
      {"S41", one(f32, "[02,2]", "[0,16]"), "invalid JSON at line 1, column 31"},
      {"S42", one(f32, "[4294967296,4294967296]", "[0,0]", 0),
       "`a`: element count of shape [4294967296, 4294967296] overflows 64 bits"},
      {"S43", one(f32, "[4611686018427387904,4]", "[0,16]"), "overflows 64 bits"},
      {"S44", one(f32, "[4611686018427387905]", "[0,4]", 4),
       "`a`: byte size of 4611686018427387905 elements of F32 overflows"},
      {"S45", one(f32, "[18446744073709551616]", "[0,16]"), "`a`: dim 0 does not fit in 64 bits"},
      {"S46", one(f32, "[4]", "[16,0]"), "`a`: begin 16 is after end 0"},
      {"S47", one(f32, "[4]", "[-16,0]"), "`a`: begin is negative: -16"},
      {"S48", one(f32, "[4]", "[0,16,16]"), "`a`: data_offsets has 3 entries, needs 2"},
      {"S49", one(f32, "[4]", "[0]"), "`a`: data_offsets has 1 entry, needs 2"},
      {"S50", one(f32, "[8]", "[0,32]"),
       "`a`: ends at byte 32 of the data, the file ends at 16 (16 bytes short; incomplete download?)"},
      {"S51", one("\"U8\"", "[15]", "[18446744073709551600," + max_u64 + "]"),
       "`a`: ends at byte 18446744073709551615 of the data, the file ends at 16"},
      {"S52", one(f32, "[256]", "[0,16]"), "`a`: shape [256] of F32 needs 1024 bytes, its range [0, 16] has 16"},
      {"S53", one(f32, "[2]", "[0,65536]", 65536),
       "`a`: shape [2] of F32 needs 8 bytes, its range [0, 65536] has 65536"},
      {"S54", file_of("{" + ok + "," + entry("b", f32, "[4]", "[0,16]") + "}", zeros_of(16)),
       "tensors `a` and `b` overlap"},
      {"S55", file_of("{" + ok + "," + entry("b", f32, "[4]", "[8,24]") + "}", zeros_of(24)),
       "tensors `a` and `b` overlap at byte 8"},
      {"S56", file_of("{" + ok + "," + entry("b", f32, "[1]", "[20,24]") + "}", zeros_of(24)),
       "bytes 16..20 of the data belong to no tensor"},
      {"S57", one(f32, "[4]", "[4,20]", 20), "bytes 0..4 of the data belong to no tensor"},
      {"S58", valid + "PK\3\4", "4 bytes after the last tensor"},
      {"S59", valid.substr(0, valid.size() - 1), "1 byte short"},
      {"S60", valid.substr(0, valid.size() - 16), "16 bytes short"},
      {"S61", file_of("{" + ok + "," + entry("a", f32, "[4]", "[16,32]") + "}", zeros_of(32)), "duplicate tensor `a`"},
      {"S62", file_of("{" + ok + "," + ok + "}", zeros_of(16)), "duplicate tensor `a`"},
      {"S63", file_of("{" + ok + "," + entry("a", "\"I32\"", "[4]", "[0,16]") + "}", zeros_of(16)),
       "duplicate tensor `a`"},
      {"S64", file_of("{" + ok + "," + entry("\\u0061", f32, "[4]", "[16,32]") + "}", zeros_of(32)),
       "duplicate tensor `a`"},
      {"S65", file_of("{\"__metadata__\":{\"k\":1}}"), "`__metadata__.k` must be a string, found an integer"},
      {"S66", file_of("{\"__metadata__\":[]}"), "`__metadata__` must be an object, found an array"},
      {"S67", file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), "duplicate `__metadata__`"},
      {"S68", file_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}"), "duplicate metadata key `__metadata__.a`"},
      {"S69", one("\"F4\"", "[3]", "[0,2]", 2), "`a`: 12 bits of F4 is not a whole number of bytes"},
      {"S70", std::string("\x80\x04\x95\x10\0\0\0\0\0\0\0}q\0.", 15), "not safetensors: a pickle file"},
      {"S71", std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c", 12), "not safetensors: gzip"},
      {"S72", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
       "Git LFS pointer file, not the data; fetch the real file"},
      {"S73", "<!DOCTYPE html><html><body>404</body></html>", "not safetensors: an HTML"},
      {"S74", file_of("{/* c */}"), "invalid JSON at line 1, column 2"},
      {"S75", file_of("{" + ok + ",}", zeros_of(16)), "invalid JSON"},
      {"S76", file_of("{'a':1}"), "invalid JSON at line 1, column 2"},
      {"S77", one(f32, "[NaN]", "[0,16]"), "invalid JSON"},
      {"S78", file_of("{\"a\nb\":1}"), "invalid string: control character"},
      {"S79", file_of("{\"a\":[\"F32\",[4],[0,16]]}", zeros_of(16)), "entry must be an object, found an array"},
      // Rules of our own.
      {"rank 9", one(f32, "[1,1,1,1,1,1,1,1,4]", "[0,16]"), "shape has more than 8 dims"},
      {"long name", file_of("{" + entry(std::string(4097, 'n'), f32, "[4]", "[0,16]") + "}", zeros_of(16)),
       "a name of 4097 bytes"},
      {"overflow, then zero", one(f32, "[4294967296,4294967296,0]", "[0,0]", 0), "overflows 64 bits"},
      {"dim of 63 bits", one(f32, "[9223372036854775808,0]", "[0,0]", 0), "at most 9223372036854775807"},
      {"negative zero", one(f32, "[-0]", "[0,0]", 0), "is negative"},
      {"zip", "PK\3\4" + zeros_of(30), "pickle checkpoint"},
      {"header missing", little_endian(2), "incomplete download?"},
      {"two objects deep in a field", file_of("{\"a\":{\"x\":{\"y\":[1,{}]}}}"), "missing `dtype`"},
      {"spaces only", file_of("   "), "empty, expected `{`"},
  };
}

}  // namespace

TEST_CASE("every malformed safetensors file is refused with its reason") {
  for (const Refused& r : refused_files()) {
    INFO(r.label);
    const std::string message = message_of<IoError>([&] { parse(r.bytes); });
    CHECK(contains(message, r.reason));
    CHECK(contains(message, "x.safetensors"));
    CHECK(message.size() < 2000);
    for (const char c : message) CHECK(static_cast<unsigned char>(c) >= 0x20);
  }
}

TEST_CASE("every valid safetensors file is accepted") {
  const std::string f32 = "\"F32\"", ok = entry("a", f32, "[4]", "[0,16]");
  const std::vector<std::pair<const char*, std::string>> files = {
      {"no tensors", file_of("{}")},
      {"padded with spaces", file_of("{" + ok + "}     ", zeros_of(16))},
      {"leading whitespace", file_of(" \n\t\r{" + ok + "}", zeros_of(16))},
      {"scalar", one(f32, "[]", "[0,4]", 4)},
      {"zero-size dim", one(f32, "[3,0,2]", "[0,0]", 0)},
      {"zero-size tensor between two",
       file_of("{" + ok + "," + entry("b", f32, "[0]", "[16,16]") + "," + entry("c", f32, "[1]", "[16,20]") + "}",
               zeros_of(20))},
      {"keys not in offset order", file_of("{" + entry("b", f32, "[1]", "[16,20]") + "," + ok + "}", zeros_of(20))},
      {"non-ASCII key", file_of("{" + entry("gr\xC3\xBC\xC3\x9F", f32, "[4]", "[0,16]") + "}", zeros_of(16))},
      {"NaN data", file_of("{" + ok + "}", std::string(16, '\xFF'))},
      {"metadata", file_of("{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"}," + ok + "}", zeros_of(16))},
      // Where the rule is a choice.
      {"unknown field",
       file_of(
           "{\"a\":{\"dtype\":\"F32\",\"x\":[{\"y\":null}],\"z\":1,\"s\":\"t\",\"shape\":[4],\"data_offsets\":[0,16]}}",
           zeros_of(16))},
      {"metadata null", file_of("{\"__metadata__\":null}")},
      {"empty key", file_of("{" + entry("", f32, "[4]", "[0,16]") + "}", zeros_of(16))},
      {"key with NUL", file_of("{" + entry("\\u0000", f32, "[4]", "[0,16]") + "}", zeros_of(16))},
      {"key like a path", file_of("{" + entry("../../etc/passwd", f32, "[4]", "[0,16]") + "}", zeros_of(16))},
      {"whole four-bit values", one("\"F4\"", "[4]", "[0,2]", 2)},
  };
  for (const auto& [label, bytes] : files) {
    INFO(label);
    CHECK_NOTHROW(parse(bytes));
  }
  CHECK(parse(files[9].second).metadata == std::map<std::string, std::string>{{"format", "pt"}, {"k", "v"}});
  CHECK(parse(files[5].second).entries.size() == 3);
}

TEST_CASE("a safetensors file cut or changed at any byte is refused or still valid, never read outside") {
  const std::string good = file_of(
      "{" + entry("a", "\"F32\"", "[2,2]", "[0,16]") + "," + entry("b", "\"BF16\"", "[3]", "[16,22]") + "}",
      zeros_of(22));
  for (std::size_t n = 0; n < good.size(); ++n) {
    INFO("cut to " << n);
    CHECK_THROWS_AS(parse(good.substr(0, n)), IoError);
  }
  for (std::size_t i = 0; i < good.size() - 22; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      try {
        parse(bad);
      } catch (const IoError&) {
      }
    }
  }
}

TEST_CASE("tensors are read without a copy where aligned and with one where not") {
  const ScratchFolder folder;
  for (const bool aligned : {true, false}) {
    std::string header = "{" + entry("a", "\"F32\"", "[2]", "[0,8]") + "}";
    while ((header.size() % 8 == 0) != aligned) header += ' ';
    const float values[2] = {1.5f, -2.0f};
    const auto path = folder.file("x.safetensors",
                                  file_of(header, std::string(reinterpret_cast<const char*>(values), 8)));
    Tensor<> t;
    const void* map = nullptr;
    {
      const io::Safetensors file(path);
      t = file.get("a");
      map = file.file().bytes().data() + file.header().data;
    }
    CHECK((t.ref().data == map) == aligned);
    CHECK(t.data<float>()[0] == 1.5f);  // the map outlives the file object
    CHECK(t.data<float>()[1] == -2.0f);
  }
}

TEST_CASE("dtypes of safetensors files") {
  const ScratchFolder folder;
  const auto path = folder.file("x.safetensors", file_of("{" + entry("bool", "\"BOOL\"", "[2]", "[0,2]") + "," +
                                                             entry("byte", "\"U8\"", "[2]", "[2,4]") + "," +
                                                             entry("complex", "\"C64\"", "[1]", "[4,12]") + "," +
                                                             entry("eight", "\"F8_E4M3\"", "[4]", "[12,16]") + "}",
                                                         std::string("\1\2", 2) + zeros_of(14)));
  const io::Safetensors file(path);
  CHECK(file.names() == std::vector<std::string>{"bool", "byte", "complex", "eight"});
  CHECK(file.dtype("byte") == DType::u8);
  CHECK(file.shape("complex") == Shape{1});
  CHECK(contains(message_of<IoError>([&] { file.get("bool"); }), "element 1 of BOOL is byte 2, must be 0 or 1"));
  CHECK(contains(message_of<CheckpointError>([&] { file.get("complex"); }),
                 "tensor `complex`: dtype C64 is not supported"));
  CHECK(contains(message_of<CheckpointError>([&] { file.dtype("eight"); }), "F8_E4M3 is not supported"));
  CHECK(contains(message_of<CheckpointError>([&] { file.get("none\x1b"); }), "has no tensor `none\\x1b`"));
}

TEST_CASE("a file that changes while it is mapped is refused before its bytes are touched") {
  const ScratchFolder folder;
  const auto path = folder.file("x.safetensors", one("\"F32\"", "[4]", "[0,16]"));
  const io::Safetensors file(path);
  std::filesystem::resize_file(path, 20);
  CHECK(contains(message_of<IoError>([&] { file.get("a"); }), "changed while being read: had "));
}

TEST_CASE("safetensors round trip of every dtype, strides and metadata") {
  const ScratchFolder folder;
  const auto path = folder / "out.safetensors";
  std::map<std::string, Tensor<>> tensors;
  tensors["d"] = tensor_of<double>({1.0, std::numeric_limits<double>::quiet_NaN()});
  tensors["f"] = tensor_of<float>({1, 2, 3, 4, 5, 6});
  tensors["h"] = tensor_of<f16>({f16(1.0f), f16(65504.0f), f16(-0.0f)});
  tensors["b"] = tensor_of<bf16>({bf16(3.0f)});
  tensors["i"] = tensor_of<std::int64_t>({-1, 1LL << 62});
  tensors["j"] = tensor_of<std::int32_t>({-7});
  tensors["u"] = tensor_of<std::uint8_t>({0, 255});
  tensors["t"] = tensor_of<bool>({true, false});
  tensors["empty"] = empty(Shape{2, 0}, DType::f32);
  tensors["scalar"] = full(Shape{}, 4.0, DType::f32);
  tensors["turned"] = transpose(reshape(tensors["f"], {2, 3}), 0, 1);
  tensors["stripe"] = narrow(reshape(tensors["f"], {3, 2}), 1, 1, 1);
  io::write_safetensors(path, tensors, {{"note", "a \"quoted\"\nline"}});
  const io::Safetensors file(path);
  CHECK(file.names().size() == tensors.size());
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"note", "a \"quoted\"\nline"}});
  CHECK(file.header().data % 8 == 0);
  for (const auto& [name, t] : tensors) {
    INFO(name);
    const Tensor<> back = file.get(name);
    REQUIRE(back.dtype() == t.dtype());
    REQUIRE(back.shape() == t.shape());
    if (t.is_contiguous()) CHECK((t.bytes() == 0 || std::memcmp(back.ref().data, t.ref().data, t.bytes()) == 0));
  }
  const std::vector<float> turned(file.get("turned").data<float>(), file.get("turned").data<float>() + 6);
  CHECK(turned == std::vector<float>{1, 4, 2, 5, 3, 6});
  const std::vector<float> stripe(file.get("stripe").data<float>(), file.get("stripe").data<float>() + 3);
  CHECK(stripe == std::vector<float>{2, 4, 6});
  CHECK(folder.names() == std::vector<std::string>{"out.safetensors"});

  // Saving over the file that is still mapped keeps what was read from it.
  const Tensor<> held = file.get("f");
  io::write_safetensors(path, {{"f", held}});
  CHECK(held.data<float>()[5] == 6.0f);
  CHECK(io::Safetensors(path).get("f").data<float>()[5] == 6.0f);
}

TEST_CASE("a safetensors writer refuses what was not declared and leaves nothing behind") {
  const ScratchFolder folder;
  {
    io::SafetensorsWriter w(folder / "x.safetensors", {{"a", DType::f32, {2}}, {"b", DType::f32, {1}}});
    CHECK(contains(message_of<ArgumentError>([&] { w.add("c", tensor_of<float>({1})); }), "`c` was not declared"));
    CHECK(contains(message_of<ArgumentError>([&] { w.add("a", tensor_of<float>({1})); }),
                   "`a` was declared as f32[2], got f32[1]"));
    w.add("a", tensor_of<float>({1, 2}));
    CHECK(contains(message_of<ArgumentError>([&] { w.add("a", tensor_of<float>({1, 2})); }), "written twice"));
    CHECK(contains(message_of<ArgumentError>([&] { w.finish(); }), "`b` was declared and not written"));
  }
  CHECK(folder.names().empty());
  CHECK(contains(message_of<ArgumentError>([&] {
                   io::SafetensorsWriter(folder / "y", {{"a", DType::f32, {1}}, {"a", DType::f32, {1}}});
                 }),
                 "two tensors called `a`"));
  CHECK(folder.names().empty());
}
