// tests/io/image_test.cpp - pictures decoded as Pillow does, every cut refused, and its resize byte for byte.
#include "io/pictures.hpp"
#include "io/scratch_folder.hpp"
#include "support/golden.hpp"

#include <kinema/io/image.hpp>

#include <cstdlib>

using namespace kinema;
using kinema::test::contains;
using kinema::test::from_hex;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

Tensor<> parse(const std::string& bytes) {
  const std::vector<unsigned char> exact(bytes.begin(), bytes.end());
  return io::parse_image(exact, "p.png");
}
std::string refusal(const std::string& bytes) {
  return message_of<IoError>([&] { parse(bytes); });
}
std::string pixels_of(const Tensor<>& t) { return {reinterpret_cast<const char*>(t.data<std::uint8_t>()), t.bytes()}; }
std::string chunk(const std::string& kind, const std::string& body) {
  const auto number = [](std::uint32_t n) {
    std::string s;
    for (int i = 24; i >= 0; i -= 8) s += static_cast<char>(n >> i & 255);
    return s;
  };
  const std::string checked = kind + body;
  const auto* data = reinterpret_cast<const unsigned char*>(checked.data());
  return number(static_cast<std::uint32_t>(body.size())) + checked +
         number(io::detail::png_checksum({data, checked.size()}));
}
std::string header(const std::string& width, const std::string& height) {
  return chunk("IHDR", width + height + std::string("\x08\x02\0\0\0", 5));
}
const std::string signature = "\x89PNG\r\n\x1a\n";

}  // namespace

TEST_CASE("PNG pictures decode to Pillow's pixels") {
  for (const auto& p : test::png_pictures) {
    INFO(p.name);
    const Tensor<> t = parse(from_hex(p.file));
    REQUIRE(t.shape() == Shape{p.height, p.width, 3});
    CHECK(pixels_of(t) == from_hex(p.pixels));
  }
}

TEST_CASE("JPEG pictures decode to Pillow's pixels within the freedom of the standard") {
  for (const auto& p : test::jpeg_pictures) {
    INFO(p.name);
    const Tensor<> t = parse(from_hex(p.file));
    REQUIRE(t.shape() == Shape{p.height, p.width, 3});
    const std::string expected = from_hex(p.pixels), got = pixels_of(t);
    int worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<unsigned char>(got[i]) - static_cast<unsigned char>(expected[i])));
    CHECK(worst <= 8);  // other inverse transforms and chroma filters
  }
}

TEST_CASE("a picture cut at any byte is refused, never partly grey") {
  std::vector<test::Picture> all = test::png_pictures;
  all.insert(all.end(), test::jpeg_pictures.begin(), test::jpeg_pictures.end());
  for (const auto& p : all) {
    const std::string file = from_hex(p.file);
    for (std::size_t n = 0; n < file.size(); ++n) {
      INFO(p.name << " cut to " << n);
      CHECK_THROWS_AS(parse(file.substr(0, n)), IoError);
    }
  }
}

TEST_CASE("a picture with any bit changed is an error or a picture") {
  for (const auto& p : {test::png_pictures[0], test::png_pictures[4], test::jpeg_pictures[0], test::jpeg_pictures[1]}) {
    const std::string file = from_hex(p.file);
    for (std::size_t i = 0; i < file.size(); ++i) {
      for (const int bit : {0, 3, 7}) {
        std::string bad = file;
        bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
        try {
          parse(bad);
        } catch (const IoError&) {
        }
      }
    }
  }
}

TEST_CASE("pictures that are none are refused by name") {
  CHECK(contains(refusal(""), "p.png: is empty"));
  CHECK(contains(refusal("hello"), "must be a PNG or JPEG picture"));
  CHECK(contains(refusal("GIF89a"), "is GIF"));
  CHECK(contains(refusal("<html>"), "is an HTML"));
  CHECK(contains(refusal(signature), "PNG: is truncated: a chunk needs 12 bytes, 0 are left at byte 8"));
  CHECK(contains(refusal(signature + header(std::string("\0\0\0\0", 4), std::string("\0\0\0\1", 4)) +
                         chunk("IDAT", "") + chunk("IEND", "")),
                 "a picture of 0x1 pixels"));
  CHECK(contains(refusal(signature + header(std::string("\0\0\xFF\xFF", 4), std::string("\0\0\xFF\xFF", 4)) +
                         chunk("IDAT", "") + chunk("IEND", "")),
                 "a picture of 65535x65535 pixels; sides are limited to 16384"));
  CHECK(contains(refusal(signature + header(std::string("\x80\0\0\0", 4), std::string("\0\0\0\1", 4)) +
                         chunk("IDAT", "") + chunk("IEND", "")),
                 "2147483648x1"));
  CHECK(contains(refusal(signature + header(std::string("\0\0\x40\0", 4), std::string("\0\0\x40\0", 4)) +
                         chunk("IDAT", "") + chunk("IEND", "")),
                 "pixels to 67108864"));
  CHECK(
      contains(refusal(signature + header(std::string("\0\0\0\1", 4), std::string("\0\0\0\1", 4)) + chunk("IEND", "")),
               "no picture data"));
  CHECK(contains(refusal(signature + header(std::string("\0\0\0\2", 4), std::string("\0\0\0\2", 4)) +
                         chunk("IDAT", "x\x9c\x03") + chunk("IEND", "")),
                 "malformed PNG"));
  std::string bad = from_hex(test::png_pictures[0].file);
  bad[20] = static_cast<char>(bad[20] ^ 1);
  CHECK(contains(refusal(bad), "checksum of chunk IHDR is wrong"));
  CHECK(contains(refusal("\xFF\xD8\xFF\xD9"), "JPEG: has no picture"));
  std::string codes = from_hex(test::jpeg_pictures[0].file);  // stb_image would write behind its table
  codes[codes.find("\xFF\xC4") + 5] = '\xFF';
  CHECK(contains(refusal(codes), "malformed Huffman tables"));
}

TEST_CASE("the content decides, not the name") {
  const ScratchFolder folder;
  const auto path = folder.file("x.png", from_hex(test::jpeg_pictures[0].file));
  CHECK(io::read_image(path).shape() == Shape{test::jpeg_pictures[0].height, test::jpeg_pictures[0].width, 3});
}

TEST_CASE("a written PNG reads back equal") {
  const ScratchFolder folder;
  for (const auto& [w, h] : {std::pair{1, 1}, {7, 5}, {64, 33}, {1, 100}}) {
    const auto bytes = test::noise(w, h);
    const Tensor<> t = tensor_of(bytes, {h, w, 3});
    io::write_png(folder / "x.png", t);
    CHECK(pixels_of(io::read_image(folder / "x.png")) == pixels_of(t));
  }
  CHECK(folder.names() == std::vector<std::string>{"x.png"});
  CHECK_THROWS_AS(io::write_png(folder / "y.png", tensor_of<std::uint8_t>({1, 2, 3})), ShapeError);
  CHECK_THROWS_AS(io::write_png(folder / "y.png", empty({0, 4, 3}, DType::u8)), ArgumentError);
}

TEST_CASE("Lanczos resizing equals Pillow's in every byte") {
  for (const auto& r : test::resizes) {
    INFO(r.from_width << "x" << r.from_height << " to " << r.to_width << "x" << r.to_height);
    const Tensor<> out = io::resize_lanczos(
        tensor_of(test::noise(r.from_width, r.from_height), {r.from_height, r.from_width, 3}), r.to_width, r.to_height);
    REQUIRE(out.shape() == Shape{r.to_height, r.to_width, 3});
    std::uint64_t h = 0xcbf29ce484222325u;
    for (const char c : pixels_of(out)) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    CHECK(h == r.digest);
  }
  CHECK_THROWS_AS(io::resize_lanczos(empty({4, 4, 3}, DType::u8), 0, 4), ArgumentError);
  CHECK_THROWS_AS(io::resize_lanczos(empty({4, 4, 4}, DType::u8), 2, 2), ShapeError);
}

TEST_CASE("resized pictures equal Pillow's, whichever pass comes first", "[image][golden]") {
  const test::GoldenCase golden("resize");
  const io::Json calls = golden.json.at("call");
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const io::Json call = calls.at(i);
    const auto from = call.integers("from"), to = call.integers("to");
    const Tensor<> picture = test::filled_pixels(cat("in.image.", i), {from[0], from[1], 3});
    const Tensor<> got = io::resize_lanczos(picture, to[1], to[0]), want = golden.stored(call.string("tensor"));
    CAPTURE(i);
    REQUIRE(got.shape() == want.shape());
    CHECK(std::equal(got.data<std::uint8_t>(), got.data<std::uint8_t>() + got.numel(), want.data<std::uint8_t>()));
  }
}
