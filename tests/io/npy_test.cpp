// tests/io/npy_test.cpp - numpy files: what numpy writes is read, everything else refused, what is written reads back.
#include "io/scratch_folder.hpp"

#include <kinema/io/npy.hpp>
#include <kinema/tensor/slice.hpp>

using namespace kinema;
using kinema::test::bytes_of;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

std::string file_of(const std::string& dictionary, const std::string& data, int version = 1) {
  std::string s = "\x93NUMPY";
  s += static_cast<char>(version);
  s += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) s += static_cast<char>(dictionary.size() >> (8 * i) & 255);
  return s + dictionary + data;
}
std::string described(const std::string& descr, const std::string& shape, const std::string& order = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}
Tensor<> parse(const std::string& bytes) {
  const std::vector<unsigned char> exact(bytes.begin(), bytes.end());
  return io::parse_npy(exact, "x.npy");
}
std::string refusal(const std::string& bytes) {
  return message_of<IoError>([&] { parse(bytes); });
}
std::string floats(std::initializer_list<float> v) { return {reinterpret_cast<const char*>(v.begin()), v.size() * 4}; }

}  // namespace

TEST_CASE("what numpy writes is read") {
  for (const int version : {1, 2, 3}) {
    const Tensor<> t = parse(file_of(described("'<f4'", "(2, 1)"), floats({1.5f, -2}), version));
    CHECK(t.shape() == Shape{2, 1});
    CHECK(t.data<float>()[1] == -2.0f);
  }
  CHECK(parse(file_of(described("'<f4'", "()"), floats({7}))).shape() == Shape{});
  CHECK(parse(file_of(described("'<f4'", "(0, 3)"), "")).numel() == 0);
  CHECK(parse(file_of(described("'<f4'", "(2L, 1L)"), floats({1, 2}))).shape() == Shape{2, 1});
  CHECK(parse(file_of("{\"shape\":(1,),\"fortran_order\":True,\"descr\":\"|u1\"}", "\x05")).data<std::uint8_t>()[0] ==
        5);
  CHECK(parse(file_of(described("'<f8'", "(1,)"), std::string(8, '\0'))).dtype() == DType::f64);
  CHECK(parse(file_of(described("'<i8'", "(1,)"), std::string(8, '\0'))).dtype() == DType::i64);
  CHECK(parse(file_of(described("'<i4'", "(1,)"), std::string(4, '\0'))).dtype() == DType::i32);
  CHECK(parse(file_of(described("'<f2'", "(1,)"), std::string(2, '\0'))).dtype() == DType::f16);
  CHECK(parse(file_of(described("'|b1'", "(1,)"), "\x01")).dtype() == DType::boolean);
}

TEST_CASE("numpy files that are damaged or of other kinds are refused with the reason") {
  const std::string f4 = "'<f4'";
  CHECK(contains(refusal(""), "x.npy: not a numpy file: it is empty"));
  CHECK(contains(refusal("PK\3\4xxxxxxxx"), "not a numpy file: a zip archive"));
  CHECK(contains(refusal("hello, world"), "must begin with \\x93NUMPY"));
  CHECK(contains(refusal(file_of(described(f4, "(1,)"), floats({1}), 4)), "version 4.0 is not supported"));
  CHECK(contains(refusal(std::string("\x93NUMPY\1\0\xFF\xFF{", 11)), "header of 65535 bytes, but the file has only 1"));
  CHECK(contains(refusal(std::string("\x93NUMPY\2\0\xFF\xFF\xFF\xFF{", 13)), "at most 1048576 are read"));
  CHECK(contains(refusal(file_of(described(f4, "(2,)"), floats({1}))),
                 "shape [2] of f32 needs 8 bytes, the file has 4 (incomplete?)"));
  CHECK(contains(refusal(file_of(described(f4, "(1,)"), floats({1, 2}))), "needs 4 bytes, the file has 8"));
  CHECK(contains(refusal(file_of(described("'>f4'", "(1,)"), floats({1}))), "'>f4' is not supported (big-endian"));
  CHECK(contains(refusal(file_of(described("'|O'", "(1,)"), floats({1}))), "pickles"));
  CHECK(contains(refusal(file_of(described("[('a', '<f4')]", "(1,)"), floats({1}))), "records are not supported"));
  CHECK(contains(refusal(file_of(described(f4, "(2, 2)", "True"), floats({1, 2, 3, 4}))), "Fortran order"));
  CHECK(contains(refusal(file_of(described(f4, "(4294967296, 4294967296)"), "")), "overflows 64 bits"));
  CHECK(contains(refusal(file_of(described(f4, "(99999999999999999999,)"), "")), "does not fit in 63 bits"));
  CHECK(contains(refusal(file_of(described(f4, "(-1,)"), "")), "must be a non-negative integer"));
  CHECK(contains(refusal(file_of(described(f4, "(1,1,1,1,1,1,1,1,1)"), "")), "more than 8 axes"));
  CHECK(contains(refusal(file_of(described(f4, "(1,)", "1"), floats({1}))), "must be True or False"));
  CHECK(contains(refusal(file_of("{'descr': '<f4', 'shape': (1,)}", floats({1}))),
                 "must have 'descr', 'fortran_order' and 'shape'"));
  CHECK(contains(refusal(file_of("{'descr': '<f4', 'descr': '<f4'}", "")), "duplicate key 'descr'"));
  CHECK(contains(refusal(file_of("{'x': 1}", "")), "unknown key 'x'"));
  CHECK(contains(refusal(file_of(described(f4, "(1,)") + "x", floats({1}))), "unexpected text"));
  CHECK(contains(refusal(file_of(described("'|b1'", "(1,)"), "\x02")), "a boolean must be 0 or 1"));
  const std::string good = file_of(described(f4, "(2,)"), floats({1, 2}));
  for (std::size_t n = 0; n < good.size(); ++n) CHECK_THROWS_AS(parse(good.substr(0, n)), IoError);
}

TEST_CASE("an array that is written reads back equal") {
  const ScratchFolder folder;
  const Tensor<> t = reshape(tensor_of<float>({1, 2, 3, 4, 5, 6}), {2, 3});
  for (const Tensor<>& x :
       {t, transpose(t, 0, 1), tensor_of<float>({9}), full({}, 3.0, DType::f64), zeros({0, 2}, DType::u8)}) {
    io::write_npy(folder / "x.npy", x);
    const Tensor<> back = io::read_npy(folder / "x.npy");
    CHECK(back.shape() == x.shape());
    CHECK(back.dtype() == x.dtype());
  }
  io::write_npy(folder / "x.npy", transpose(t, 0, 1));
  const Tensor<> back = io::read_npy(folder / "x.npy");
  CHECK(std::vector<float>(back.data<float>(), back.data<float>() + 6) == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(bytes_of(folder / "x.npy").size() % 64 == 24);
  CHECK_THROWS_AS(io::write_npy(folder / "y.npy", full({1}, 1, DType::bf16)), ArgumentError);
  CHECK(folder.names() == std::vector<std::string>{"x.npy"});
}

TEST_CASE("an array can grow item by item") {
  const ScratchFolder folder;
  {
    io::NpyWriter w(folder / "x.npy", DType::f32, {2});
    w.add(tensor_of<float>({1, 2}));
    w.add(reshape(tensor_of<float>({3, 4, 5, 6}), {2, 2}));
    CHECK_THROWS_AS(w.add(tensor_of<float>({1, 2, 3})), ArgumentError);
    w.finish();
  }
  const Tensor<> t = io::read_npy(folder / "x.npy");
  CHECK(t.shape() == Shape{3, 2});
  CHECK(t.data<float>()[5] == 6.0f);
}
