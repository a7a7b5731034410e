// tests/io/formats_test.cpp - every format of a clip reads back, and its tags with it; other programs' texts are read too.
#include "io/pictures.hpp"
#include "io/scratch_folder.hpp"

#include <kinema/io/frames.hpp>

#include <cmath>

using namespace kinema;
using kinema::test::bytes_of;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

/// u8 [F, H, W, 3]: a soft pattern that moves one pixel a frame, as lossy codecs like it.
Tensor<> moving(std::int64_t frames, std::int64_t height, std::int64_t width) {
  Tensor<> t = empty({frames, height, width, 3}, DType::u8);
  auto* to = t.data<std::uint8_t>();
  for (std::int64_t f = 0; f < frames; ++f)
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (int c = 0; c < 3; ++c)
          *to++ = static_cast<std::uint8_t>(std::lround(128 + 90 * std::sin(0.15 * static_cast<double>(x + f) + c) * std::cos(0.2 * static_cast<double>(y) + c)));
  return t;
}

void write(const std::filesystem::path& path, const Tensor<>& frames, double rate = 8, const io::Tags& tags = {}) {
  const auto sink = io::make_frame_sink(path, rate, tags);
  sink->add(frames);
  sink->finish();
}

/// Root of the mean squared difference, in steps of 1/255.
double difference(const Tensor<>& a, const Tensor<>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double d = static_cast<double>(a.data<std::uint8_t>()[i]) - b.data<std::uint8_t>()[i];
    sum += d * d;
  }
  return std::sqrt(sum / static_cast<double>(a.numel()));
}

bool encodes(std::string_view extension) {
  try {
    static_cast<void>(io::encoder_of(*io::find_video_format(extension)));
    return true;
  } catch (const Unsupported&) {
    return false;
  }
}

const io::Tags two_tags = {{"parameters", "a panda — \"quoted\"\nSteps: 50, Seed: 42"}, {"kinema", R"({"request": {"seed": 42}})"}};

/// The tags with these names, in the order of `like`.
io::Tags named_as(const io::Tags& like, const io::Tags& found) {
  io::Tags out;
  for (const auto& [name, text] : like)
    for (const auto& tag : found)
      if (tag.first == name) out.push_back(tag);
  return out;
}

std::string little(std::uint32_t v) {
  std::string s;
  for (int i = 0; i < 4; ++i) s += static_cast<char>(v >> (8 * i) & 255);
  return s;
}

}  // namespace

TEST_CASE("every format reads back with its frames, rate and tags") {
  struct Format { const char* name; double most_difference; };  // halved colours alone cost 5
  const Format format = GENERATE(Format{"v.mp4", 6}, Format{"v.webm", 6}, Format{"v.gif", 9}, Format{"v.avi", 3}, Format{"v.apng", 0});
  INFO(format.name);
  const ScratchFolder folder;
  const auto path = folder / format.name;
  const auto extension = path.extension().native();
  if (io::find_video_format(extension) != nullptr && !encodes(extension)) return;
  const Tensor<> clip = moving(9, 48, 64);
  write(path, clip, 12.5, two_tags);
  CHECK(folder.names() == std::vector<std::string>{format.name});
  const Tensor<> back = io::read_frames(path);
  REQUIRE(back.shape() == clip.shape());
  const double found = difference(clip, back);
  INFO("difference " << found);
  CHECK(found <= format.most_difference);
  CHECK(io::VideoReader(path).frame_rate() == Approx(12.5).epsilon(0.01));
  CHECK(named_as(two_tags, io::read_tags(path)) == two_tags);
  write(folder / ("2" + extension), clip, 12.5, two_tags);
  CHECK(bytes_of(path) == bytes_of(folder / ("2" + extension)));
  write(path, clip);
  CHECK(named_as(two_tags, io::read_tags(path)).empty());
  CHECK(io::read_frames(path, 3).size(0) == 3);
}

TEST_CASE("tags in pictures and arrays") {
  const ScratchFolder folder;
  const Tensor<> clip = moving(2, 16, 16);
  write(folder / "p_%d.png", clip, 8, two_tags);
  CHECK(io::read_tags(folder / "p_0.png") == two_tags);
  CHECK(io::read_tags(folder / "p_1.png") == two_tags);
  CHECK(difference(io::read_frames(folder / "p_1.png"), narrow(clip, 0, 1, 1)) == 0);
  write(folder / "v.safetensors", clip, 8, two_tags);
  CHECK(named_as(two_tags, io::read_tags(folder / "v.safetensors")) == two_tags);
  CHECK(io::read_frames(folder / "v.safetensors").shape() == clip.shape());
  write(folder / "v.npy", clip, 8, two_tags);
  CHECK(io::read_tags(folder / "v.npy").empty());
  const std::string png = bytes_of(folder / "p_0.png");
  CHECK(png.find("iTXt") != std::string::npos);  // the dash is not ASCII
  CHECK(png.find("tEXtkinema") != std::string::npos);
}

TEST_CASE("animated webp has a frame for each picture") {
  if (!encodes(".webp")) return;
  const ScratchFolder folder;
  write(folder / "v.webp", moving(5, 32, 48), 8, two_tags);
  const std::string file = bytes_of(folder / "v.webp");
  CHECK(file.substr(8, 8) == "WEBPVP8X");
  std::size_t pictures = 0;
  for (std::size_t at = file.find("ANMF"); at != std::string::npos; at = file.find("ANMF", at + 1)) ++pictures;
  CHECK(pictures == 5);
  CHECK(file.substr(file.find("ANIM") + 12, 2) == std::string(2, '\0'));  // plays for ever
  CHECK(file.substr(4, 4) == little(static_cast<std::uint32_t>(file.size() - 8)));
  CHECK((file[20] & 0x08) != 0);  // says that there is Exif
  CHECK(io::read_tags(folder / "v.webp") == two_tags);
  write(folder / "bare.webp", moving(5, 32, 48));
  CHECK(io::read_tags(folder / "bare.webp").empty());
  CHECK(bytes_of(folder / "bare.webp").find("EXIF") == std::string::npos);
}

TEST_CASE("a webp of one picture has tags too, and reads as the same picture") {
  if (!encodes(".webp")) return;
  const ScratchFolder folder;
  const Tensor<> clip = moving(1, 30, 41);
  write(folder / "bare.webp", clip);
  write(folder / "v.webp", clip, 8, two_tags);
  CHECK(bytes_of(folder / "bare.webp").substr(12, 3) == "VP8");
  CHECK(bytes_of(folder / "v.webp").substr(12, 4) == "VP8X");
  CHECK(bytes_of(folder / "v.webp").substr(24, 6) == little(40).substr(0, 3) + little(29).substr(0, 3));
  CHECK(io::read_tags(folder / "v.webp") == two_tags);
  CHECK(difference(io::read_frames(folder / "v.webp"), io::read_frames(folder / "bare.webp")) == 0);
}

TEST_CASE("an .avi is what other players expect") {
  const ScratchFolder folder;
  write(folder / "v.avi", moving(3, 16, 24), 30000.0 / 1001.0);
  const std::string file = bytes_of(folder / "v.avi");
  CHECK(file.substr(4, 4) == little(static_cast<std::uint32_t>(file.size() - 8)));
  const std::size_t stream = file.find("vidsMJPG"), movie = file.find("movi"), index = file.find("idx1");
  REQUIRE(index != std::string::npos);
  CHECK(file.substr(stream + 20, 8) == little(1001) + little(30000));
  CHECK(file.substr(stream + 32, 4) == little(3));
  CHECK(file.substr(movie - 4, 4) == little(static_cast<std::uint32_t>(index - movie)));
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string entry = file.substr(index + 8 + 16 * i, 16);
    const std::size_t at = movie + (static_cast<unsigned char>(entry[8]) | static_cast<unsigned char>(entry[9]) << 8);
    CHECK(file.substr(at, 4) == "00dc");
    CHECK(file.substr(at + 4, 4) == entry.substr(12, 4));
    CHECK(file.substr(at + 8, 2) == "\xFF\xD8");
  }
}

TEST_CASE("gif keeps few colours exactly and dithers many") {
  const ScratchFolder folder;
  Tensor<> few = empty({2, 16, 16, 3}, DType::u8);
  for (std::int64_t i = 0; i < few.numel(); ++i) few.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i / 3 % 7 * 40 + i % 3 * 4);
  write(folder / "few.gif", few);
  CHECK(difference(io::read_frames(folder / "few.gif"), few) == 0);
}

TEST_CASE("tags that no file could give back are refused") {
  const ScratchFolder folder;
  const auto refusal = [&](const io::Tags& tags) {
    return message_of<ArgumentError>([&] { io::make_frame_sink(folder / "v.png", 8, tags); });
  };
  CHECK(contains(refusal({{"", "x"}}), "a name must be 1 to 79 letters"));
  CHECK(contains(refusal({{"a b", "x"}}), "got \"a b\""));
  CHECK(contains(refusal({{std::string(80, 'a'), "x"}}), "a name must be"));
  CHECK(contains(refusal({{"a", "x"}, {"A", "y"}}), "two called \"A\""));
  CHECK(contains(refusal({{"a", std::string("x\0y", 3)}}), "UTF-8 without NUL"));
  CHECK(contains(refusal({{"a", "\xFF"}}), "UTF-8 without NUL"));
  CHECK(folder.names().empty());
}

TEST_CASE("texts of other programs, and damaged ones") {
  const ScratchFolder folder;
  const auto with_chunk = [&](const std::string& kind, const std::string& body) {
    std::string chunk;
    io::detail::append_png_chunk(chunk, kind, body);
    return folder.file("x.png", io::png_bytes(full({2, 2, 3}, 7, DType::u8)).insert(33, chunk));
  };
  const auto nul = [](std::string s) {
    for (char& c : s)
      if (c == '|') c = '\0';
    return s;
  };
  CHECK(io::read_tags(with_chunk("tEXt", nul("Author|Ren\xE9"))) == io::Tags{{"Author", "Ren\xC3\xA9"}});
  const std::string stored = kinema::test::from_hex("7801010300fcff616263024d0127");  // zlib: one block, not compressed
  CHECK(io::read_tags(with_chunk("zTXt", nul("k||") + stored)) == io::Tags{{"k", "abc"}});
  CHECK(io::read_tags(with_chunk("iTXt", nul("k|||de|Name|\xC3\xA4"))) == io::Tags{{"k", "\xC3\xA4"}});
  const auto refusal = [&](const std::string& kind, const std::string& body) {
    const auto path = with_chunk(kind, nul(body));
    return message_of<IoError>([&] { io::read_tags(path); });
  };
  CHECK(contains(refusal("tEXt", "no end"), "a part of the text does not end"));
  CHECK(contains(refusal("zTXt", "k|\x01xx"), "unknown compression"));
  CHECK(contains(refusal("zTXt", "k||xx"), "malformed compressed text"));
  CHECK(contains(refusal("iTXt", "k|||de|n|\xFF"), "the text is not UTF-8"));
  CHECK(contains(refusal("iTXt", "k|||de"), "a part of the text does not end"));

  write(folder / "v.gif", moving(2, 16, 16), 8, {{"comment", "x"}});
  std::string gif = bytes_of(folder / "v.gif");
  for (std::size_t size = 6; size < gif.size(); ++size) {
    folder.file("cut.gif", gif.substr(0, size));
    io::Tags found;
    try {
      found = io::read_tags(folder / "cut.gif");
    } catch (const IoError& e) {
      CHECK(contains(e.what(), "cut.gif: GIF: is truncated"));
      continue;
    }
    CHECK(size == gif.size() - 1);  // only the trailer is missing
    CHECK(found == io::Tags{{"comment", "x"}});
  }
  gif.replace(gif.find("{\"comment"), 10, "just words");
  folder.file("v.gif", gif);
  CHECK(io::read_tags(folder / "v.gif")[0].first == "comment");
  CHECK(io::read_tags(folder / "v.gif")[0].second.substr(0, 10) == "just words");
}

TEST_CASE("the description of a webp, whole, cut and damaged") {
  const ScratchFolder folder;
  const std::vector<unsigned char> picture = [] {
    const std::string bytes = "RIFF" + little(14) + "WEBPVP8 " + little(1) + std::string("x\0", 2);
    return std::vector<unsigned char>(bytes.begin(), bytes.end());
  }();
  const std::string whole = io::detail::webp_with_tags(picture, 3, 2, {{"a", "some text"}});
  CHECK(io::read_tags(folder.file("v.webp", whole)) == io::Tags{{"a", "some text"}});
  std::size_t found = 0;
  for (std::size_t size = 12; size < whole.size(); ++size) {
    const auto path = folder.file("cut.webp", whole.substr(0, size));
    try {
      found += io::read_tags(path).size();  // between chunks
    } catch (const IoError& e) {
      CHECK(contains(e.what(), "cut.webp: WebP: is truncated"));
    }
  }
  CHECK(found == 0);
  for (std::size_t at = whole.find("EXIF") + 8; at < whole.size(); ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x80);
    try {
      static_cast<void>(io::read_tags(folder.file("bad.webp", bad)));
    } catch (const IoError& e) {
      CHECK(contains(e.what(), "the description is not UTF-8"));
    }
  }
  std::string other = whole;
  other.replace(whole.find("{"), 4, "text");
  CHECK(io::read_tags(folder.file("other.webp", other))[0].first == "comment");
}

TEST_CASE("frame rates are fractions of whole numbers") {
  const auto rate = [](double r, std::uint64_t largest) {
    const io::detail::FrameRate f(r, largest, "x");
    return std::pair(f.frames, f.seconds);
  };
  CHECK(rate(8, 65535) == std::pair<std::uint64_t, std::uint64_t>(8, 1));
  CHECK(rate(12.5, 65535) == std::pair<std::uint64_t, std::uint64_t>(25, 2));
  CHECK(rate(30000.0 / 1001.0, 65535) == std::pair<std::uint64_t, std::uint64_t>(30000, 1001));
  CHECK(rate(1e-9, 65535) == std::pair<std::uint64_t, std::uint64_t>(1, 65535));
  CHECK(rate(1000, 65535).first == 1000);
  for (const double bad : {0.0, -1.0, 1001.0, std::nan("")}) CHECK_THROWS_AS(rate(bad, 65535), ArgumentError);
}
