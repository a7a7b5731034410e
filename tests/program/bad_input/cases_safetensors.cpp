// tests/program/bad_input/cases_safetensors.cpp - files that must be refused, those that the reference accepts included, and
// those that must be accepted: over-strictness is a defect too.
#include "bytes.hpp"
#include "case.hpp"

namespace bad_input {
namespace {

const std::string four = R"("a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]})";
const std::string data(16, '\1');

std::string entry(const std::string& fields) { return safetensors("{\"a\":{" + fields + "}}", data); }
std::string shape(const std::string& s) { return entry("\"dtype\":\"F32\",\"shape\":" + s + ",\"data_offsets\":[0,16]"); }
std::string range(const std::string& r) { return entry("\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":" + r); }
std::string dtype(const std::string& d) { return entry("\"dtype\":" + d + ",\"shape\":[4],\"data_offsets\":[0,16]"); }

struct File { const char* name; std::string bytes; Words words; };

std::vector<File> refused() {
  const std::string nested = std::string(100000, '[') + std::string(100000, ']');
  return {
      {"S01 nothing", "", {"0 bytes"}},
      {"S02 seven bytes", "1234567", {"7 bytes"}},
      {"S03 length 0", little_endian(0, 8), {"header is empty", "`{`"}},
      {"S04 length beyond the file", little_endian(100, 8) + "{}", {"header length 100", "10 bytes"}},
      {"S05 length 2^64-1", little_endian(~0ull, 8) + "{}", {"18446744073709551615", "100000000"}},
      {"S06 length 2^64-8", little_endian(~7ull, 8) + "{}", {"18446744073709551608", "100000000"}},
      {"S07 length 2^63", little_endian(1ull << 63, 8) + "{}", {"9223372036854775808", "100000000"}},
      {"S08 length above the cap", little_endian(100000001, 8) + "{}", {"100000001", "cap of 100000000"}},
      {"S09 length one short of the JSON", little_endian(four.size() + 1, 8) + "{" + four + "}" + data, {"ends early"}},
      {"S10 length big-endian", big_endian(four.size() + 2, 8) + "{" + four + "}" + data, {"byte order?"}},
      {"S11 byte 0xFF", safetensors("\xFF"), {"invalid UTF-8", "byte 0"}},
      {"S12 overlong key", safetensors("{\"\xC0\xAF\":1}"), {"invalid UTF-8"}},
      {"S13 raw surrogate", safetensors("{\"\xED\xA0\x80\":1}"), {"invalid UTF-8"}},
      {"S14 escaped surrogate alone", safetensors(R"({"\ud800":1})"), {"surrogate"}},
      {"S15 byte order mark", safetensors("\xEF\xBB\xBF{}"), {"BOM"}},
      {"S16 opening brace only", safetensors("{"), {"ends early"}},
      {"S17 array", safetensors("[]"), {"must be a JSON object", "array"}},
      {"S18 null", safetensors("null"), {"must be a JSON object", "null"}},
      {"S19 letter behind", safetensors("{}x"), {"invalid JSON"}},
      {"S20 two objects", safetensors("{}{}"), {"invalid JSON"}},
      {"S21 NUL padding", safetensors(with_nul("{}||")), {"control byte \\x00"}},
      {"S22 NUL inside", safetensors(with_nul("{|}")), {"control byte \\x00"}},
      {"S23 100000 arrays", safetensors(nested), {"nesting limit 64"}},
      {"S24 arrays in metadata", safetensors("{\"__metadata__\":{\"k\":" + std::string(60, '[') + std::string(60, ']') + "}}"), {"__metadata__.k", "string"}},
      {"S25 entry is an array", safetensors(R"({"a":[]})"), {"`a`", "must be an object"}},
      {"S26 entry is a string", safetensors(R"({"a":"b"})"), {"`a`", "must be an object"}},
      {"S27 no dtype", entry("\"shape\":[4],\"data_offsets\":[0,16]"), {"`a`", "missing `dtype`"}},
      {"S28 no shape", entry("\"dtype\":\"F32\",\"data_offsets\":[0,16]"), {"`a`", "missing `shape`"}},
      {"S29 no data_offsets", entry("\"dtype\":\"F32\",\"shape\":[4]"), {"`a`", "missing `data_offsets`"}},
      {"S30 dtype twice", entry("\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]"), {"`a`", "duplicate field `dtype`"}},
      {"S31 dtype Q4_0", dtype("\"Q4_0\""), {"`a`", "unknown dtype", "BF16"}},
      {"S32 dtype f32", dtype("\"f32\""), {"`a`", "F32"}},
      {"S33 dtype is a number", dtype("32"), {"`a`", "dtype must be a string"}},
      {"S34 negative dim", shape("[-2,-2]"), {"`a`", "dim 0 is negative"}},
      {"S35 dim 2.0", shape("[2.0,2]"), {"`a`", "dim 0 is not an integer literal"}},
      {"S36 dim 4e0", shape("[4e0]"), {"`a`", "dim 0 is not an integer literal"}},
      {"S37 dim 1e30", shape("[1e30]"), {"`a`", "dim 0"}},
      {"S38 dim is a string", shape("[\"2\",2]"), {"`a`", "dim 0"}},
      {"S39 shape null", shape("null"), {"`a`", "shape must be an array"}},
      {"S40 nested shape", shape("[[2,2]]"), {"`a`", "dim 0"}},
      {"S41 leading zero", shape("[02,2]"), {"invalid JSON"}},
      {"S42 2^32 by 2^32", safetensors(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"), {"`a`", "overflows"}},
      {"S43 elements wrap to 0", shape("[4611686018427387904,4]"), {"`a`", "overflows"}},
      {"S44 bytes wrap to 4", shape("[4611686018427387905]"), {"`a`", "overflows"}},
      {"S45 dim 2^64", shape("[18446744073709551616]"), {"`a`", "dim 0 does not fit"}},
      {"S46 begin after end", range("[16,0]"), {"`a`", "begin 16 is after end 0"}},
      {"S47 negative begin", range("[-16,0]"), {"`a`", "begin is negative"}},
      {"S48 three offsets", range("[0,16,16]"), {"`a`", "3 entries"}},
      {"S49 one offset", range("[0]"), {"`a`", "1 entry"}},
      {"S50 end beyond the file", safetensors(R"({"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}})", data), {"`a`", "16 bytes short"}},
      {"S51 range at the end of 64 bits", range("[18446744073709551600,18446744073709551615]"), {"`a`"}},
      {"S52 shape larger than range", shape("[256]"), {"`a`", "1024", "16"}},
      {"S53 range larger than shape", safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,65536]}})", std::string(65536, '\0')), {"`a`", "8 bytes", "65536"}},
      {"S54 same range twice", safetensors("{" + four + "," + replaced(four, "\"a\"", "\"b\"") + "}", data), {"`a`", "`b`", "overlap"}},
      {"S55 eight bytes shared", safetensors("{" + four + R"(,"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})", data + "12345678"), {"overlap"}},
      {"S56 gap", safetensors("{" + four + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[20,24]}})", data + "12345678"), {"bytes 16..20", "no tensor"}},
      {"S57 first at 4", safetensors(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[4,20]}})", data + "1234"), {"bytes 0..4", "no tensor"}},
      {"S58 bytes behind", safetensors("{" + four + "}", data + "PK\3\4"), {"4 bytes after the last tensor"}},
      {"S59 a byte short", safetensors("{" + four + "}", data.substr(1)), {"1 byte short"}},
      {"S60 no data", safetensors("{" + four + "}"), {"16 bytes short"}},
      {"S61 key twice, two ranges", safetensors("{" + four + R"(,"a":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}})", data + "1234"), {"duplicate tensor `a`"}},
      {"S62 key twice, same entry", safetensors("{" + four + "," + four + "}", data), {"duplicate tensor `a`"}},
      {"S63 key twice, other dtype", safetensors("{" + four + "," + replaced(four, "F32", "I32") + "}", data), {"duplicate tensor `a`"}},
      {"S64 key twice, escaped", safetensors("{" + four + "," + replaced(four, "\"a\"", "\"\\u0061\"") + "}", data), {"duplicate tensor `a`"}},
      {"S65 metadata value 1", safetensors(R"({"__metadata__":{"k":1}})"), {"__metadata__.k", "string"}},
      {"S66 metadata is an array", safetensors(R"({"__metadata__":[]})"), {"`__metadata__` must be an object"}},
      {"S67 metadata twice", safetensors(R"({"__metadata__":{},"__metadata__":{}})"), {"duplicate `__metadata__`"}},
      {"S68 a metadata key twice", safetensors(R"({"__metadata__":{"a":"1","a":"1"}})"), {"duplicate", "__metadata__.a"}},
      {"S69 three values of four bits", safetensors(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "12"), {"`a`", "12 bits"}},
      {"S70 pickle", with_nul("\x80\x02}q|(X") + std::string(64, 'x'), {"pickle"}},
      {"S70 zip of pickles", "PK\3\4" + std::string(64, 'x'), {"pickle"}},
      {"S71 gzip", "\x1f\x8b\x08" + std::string(64, 'x'), {"gzip"}},
      {"S72 LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", {"LFS"}},
      {"S73 HTML", "<!DOCTYPE html><html><body>404</body></html>", {"HTML"}},
      {"S73 HTML behind spaces", "\n\n  <html><body>404 not found</body></html>", {"HTML"}},
      {"S74 comment", safetensors("{/* */" + four + "}", data), {"invalid JSON"}},
      {"S75 trailing comma", safetensors("{" + four + ",}", data), {"invalid JSON"}},
      {"S76 single quotes", safetensors("{'a':1}"), {"invalid JSON"}},
      {"S77 NaN", shape("[NaN]"), {"invalid JSON"}},
      {"S78 raw newline in a key", safetensors("{\"a\nb\":1}"), {"invalid JSON"}},
      {"S79 entry is a list of its fields", safetensors(R"({"a":["F32",[4],[0,16]]})", data), {"`a`", "must be an object", "array"}},
      {"chosen: rank 10000", shape("[1" + [] { std::string s; for (int i = 1; i < 10000; ++i) s += ",1"; return s; }() + "]"), {"`a`", "more than 8 dims"}},
      {"chosen: overflow before a zero", safetensors(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}})"), {"`a`", "overflows"}},
      {"chosen: a key of 1 MB", safetensors("{\"" + std::string(1000000, 'k') + "\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", data), {"4096"}},
      {"escape sequence of a terminal in a key", safetensors("{\"\\u001b[2J\\u0007\":[]}"), {"\\x1b[2J\\x07", "must be an object"}},
      {"JSON text without a length", "{" + four + "}", {"JSON"}},
      {"numpy", npy(1, npy_dictionary("<f4", "(4,)"), data), {"numpy"}},
      {"GGUF", "GGUF" + std::string(64, '\3'), {"GGUF"}},
      {"lone minus", shape("[-]"), {"invalid JSON"}},
      {"deep unknown field", entry("\"x\":" + std::string(70, '[') + std::string(70, ']') + ",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]"), {"nesting limit"}},
      {"escaped NUL in a dtype", dtype("\"F32\\u0000\""), {"`a`", "unknown dtype"}},
      {"dtype with a space", dtype("\"F32 \""), {"`a`", "unknown dtype"}},
      {"offset 1e1", range("[0,1.6e1]"), {"`a`", "end is not an integer"}},
      {"offset is a string", range("[0,\"16\"]"), {"`a`", "not an integer"}},
      {"offset null", range("[null,16]"), {"`a`", "not an integer"}},
      {"shape is an object", shape("{}"), {"`a`", "shape must be an array"}},
      {"dim null", shape("[null]"), {"`a`", "dim 0"}},
      {"dim true", shape("[true,4]"), {"`a`", "dim 0"}},
  };
}

std::vector<File> accepted() {
  return {
      {"an empty object", safetensors("{}"), {"0 tensors"}},
      {"spaces behind", safetensors("{" + four + "}      ", data), {"f32[4]"}},
      {"spaces before", safetensors(" \n\t{" + four + "}", data), {"f32[4]"}},
      {"a scalar", safetensors(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "1234"), {"f32[]"}},
      {"a zero dim", safetensors(R"({"a":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}})"), {"f32[0, 4]"}},
      {"an empty tensor between two", safetensors("{" + four + R"(,"z":{"dtype":"F32","shape":[0],"data_offsets":[16,16]},"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}})", data + "1234"), {"3 tensors"}},
      {"keys not in the order of their data", safetensors(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},)" + four + "}", data + "1234"), {"2 tensors"}},
      {"a key that is not ASCII", safetensors("{\"ü漢\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", data), {"ü漢"}},
      {"NaN as data", safetensors("{" + four + "}", std::string(16, '\xFF')), {"f32[4]"}},
      {"metadata", safetensors("{\"__metadata__\":{\"format\":\"pt\",\"note\":\"\"}," + four + "}", data), {"format", "pt"}},
      {"metadata null", safetensors("{\"__metadata__\":null," + four + "}", data), {"f32[4]"}},
      {"unknown field", entry("\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":{\"y\":[1,{}]}"), {"f32[4]"}},
      {"an empty key", safetensors("{" + replaced(four, "\"a\"", "\"\"") + "}", data), {"f32[4]"}},
      {"NUL in a key", safetensors("{" + replaced(four, "\"a\"", "\"a\\u0000b\"") + "}", data), {"a\\x00b"}},
      {"a key that looks like a path", safetensors("{" + replaced(four, "\"a\"", "\"../../etc/passwd\"") + "}", data), {"../../etc/passwd"}},
      {"a key that looks like a format", safetensors("{" + replaced(four, "\"a\"", "\"%s%n%d\"") + "}", data), {"%s%n%d"}},
      {"data that is not aligned", safetensors("{" + four + "} ", data), {"f32[4]"}},
      {"eight dims", shape("[1,1,1,1,1,1,2,2]"), {"f32[1, 1, 1, 1, 1, 1, 2, 2]"}},
      {"a dtype that is not read", dtype("\"U32\""), {"U32"}},
      {"an escaped slash and unicode", safetensors("{" + replaced(four, "\"a\"", "\"a\\/\\u00e9\"") + "}", data), {"a/é"}},
  };
}

}  // namespace

void add_safetensors(Cases& cases) {
  const auto put = [](const std::string& bytes) { return [bytes](const Folder& f) { f.file("x.safetensors", bytes); }; };
  for (const File& f : refused()) {
    Words words = f.words;
    words.push_back("x.safetensors");
    cases.push_back({std::string("safetensors ") + f.name, {3}, words, {"inspect", "x.safetensors"}, put(f.bytes)});
  }
  // The same files where each command would meet them.
  const std::vector<File> all = refused();
  for (const std::size_t i : {0u, 4u, 22u, 41u, 43u, 53u, 61u, 63u, 71u, 78u}) {
    const auto where = [&](const std::string& what) { return std::string("safetensors ") + all[i].name + " as " + what; };
    const auto weights = [&](const std::string& name) { return [bytes = all[i].bytes, name](const Folder& f) { f.replace(name, bytes); }; };
    cases.push_back({where("latents"), {3}, {"x.safetensors"}, {"decode", "--model", "model", "--latents", "x.safetensors", "--output", "v.npy"}, put(all[i].bytes)});
    cases.push_back({where("a clip"), {3}, {"x.safetensors"}, {"encode", "--model", "model", "--input", "x.safetensors", "--output", "l.safetensors"}, put(all[i].bytes)});
    cases.push_back({where("a run"), {3}, {"x.safetensors"}, {"generate", "--resume", "x.safetensors"}, put(all[i].bytes)});
    cases.push_back({where("weights"), {3}, {"vae/diffusion_pytorch_model.safetensors"}, tokenize(), weights("model/vae/diffusion_pytorch_model.safetensors")});
  }
  for (const File& f : accepted()) cases.push_back({std::string("safetensors valid: ") + f.name, {0}, f.words, {"inspect", "x.safetensors"}, put(f.bytes)});
}

}  // namespace bad_input
