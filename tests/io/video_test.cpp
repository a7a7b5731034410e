// tests/io/video_test.cpp - what is written plays back nearly equal, damaged files are refused, failures leave nothing.
#include "io/scratch_folder.hpp"

#include <kinema/io/video.hpp>
#include <kinema/tensor/slice.hpp>

#include <sys/resource.h>

#include <cmath>

using namespace kinema;
using kinema::test::bytes_of;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

/// A smooth picture that moves: chroma subsampling costs little.
Tensor<> picture(std::int64_t width, std::int64_t height, std::int64_t t) {
  Tensor<> out = empty({height, width, 3}, DType::u8);
  auto* p = out.data<std::uint8_t>();
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const double u = static_cast<double>(x + 2 * t) / 20, v = static_cast<double>(y) / 15;
      for (int c = 0; c < 3; ++c) *p++ = static_cast<std::uint8_t>(127.5 + 100 * std::sin(u + c) * std::cos(v - c));
    }
  }
  return out;
}

double psnr(const Tensor<>& a, const Tensor<>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.bytes(); ++i) {
    const double d = static_cast<double>(a.data<std::uint8_t>()[i]) - b.data<std::uint8_t>()[i];
    sum += d * d;
  }
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.bytes()) / (sum + 1e-9));
}

void write_video(const std::filesystem::path& path, std::int64_t width, std::int64_t height, int frames,
                 double rate = 8) {
  io::VideoWriter w(path, width, height, rate);
  for (int i = 0; i < frames; ++i) w.add(picture(width, height, i));
  w.finish();
}
int count_frames(const std::filesystem::path& path, const io::VideoLimits& limits = {}) {
  io::VideoReader r(path, limits);
  int n = 0;
  while (r.next()) ++n;
  return n;
}

}  // namespace

TEST_CASE("a written video reads back nearly equal") {
  const ScratchFolder folder;
  struct Case { std::int64_t width, height; int frames; double rate; };
  for (const Case& c : {Case{64, 48, 17, 8}, {96, 32, 1, 16}, {176, 144, 9, 23.976}, {2, 2, 3, 1}, {18, 34, 5, 30}}) {
    INFO(c.width << "x" << c.height << ", " << c.frames << " frames");
    write_video(folder / "v.mp4", c.width, c.height, c.frames, c.rate);
    io::VideoReader r(folder / "v.mp4");
    CHECK(r.width() == c.width);
    CHECK(r.height() == c.height);
    if (c.frames > 1) CHECK(r.frame_rate() == Approx(c.rate).epsilon(1e-3));
    for (int i = 0; i < c.frames; ++i) {
      const Tensor<> f = r.next();
      REQUIRE(f);
      REQUIRE(f.shape() == Shape{c.height, c.width, 3});
      CHECK(psnr(f, picture(c.width, c.height, i)) > (c.width > 4 ? 30.0 : 15.0));
    }
    CHECK_FALSE(r.next());
    CHECK_FALSE(r.next());
  }
  CHECK(folder.names() == std::vector<std::string>{"v.mp4"});
}

TEST_CASE("equal frames give equal files, and the index comes first") {
  const ScratchFolder folder;
  write_video(folder / "a.mp4", 64, 48, 9);
  write_video(folder / "b.mp4", 64, 48, 9);
  const std::string bytes = bytes_of(folder / "a.mp4");
  CHECK(bytes == bytes_of(folder / "b.mp4"));
  CHECK(bytes.find("moov") < bytes.find("mdat"));
  CHECK(bytes.find("avc1") != std::string::npos);
}

TEST_CASE("frames may have any strides") {
  const ScratchFolder folder;
  const Tensor<> wide = picture(32, 20, 3), turned = transpose(picture(20, 32, 3), 0, 1);  // [20, 32, 3]
  io::VideoWriter w(folder / "v.mp4", 16, 20, 8);
  w.add(narrow(wide, 1, 8, 16));
  w.add(narrow(turned, 1, 0, 16));
  w.finish();
  io::VideoReader r(folder / "v.mp4");
  const Tensor<> f = r.next();
  double worst = 0;
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 48; ++x)
      worst = std::max(worst, std::abs(f.data<std::uint8_t>()[y * 48 + x] -
                                       static_cast<double>(wide.data<std::uint8_t>()[y * 96 + 24 + x])));
  CHECK(worst < 40);
}

TEST_CASE("a video cut anywhere is refused or plays to the cut, never past it") {
  const ScratchFolder folder;
  write_video(folder / "v.mp4", 64, 48, 9);
  const std::string bytes = bytes_of(folder / "v.mp4");
  int refused = 0, tries = 0;
  for (std::size_t n = 0; n < bytes.size(); n += 97, ++tries) {
    const auto path = folder.file("cut.mp4", bytes.substr(0, n));
    try {
      const int frames = count_frames(path);
      INFO("cut to " << n << " of " << bytes.size());
      CHECK(frames < 9);
    } catch (const IoError& e) {
      ++refused;
      CHECK(contains(e.what(), "cut.mp4"));
    }
  }
  CHECK(refused == tries);
}

TEST_CASE("files that are no videos are refused and open nothing else") {
  const ScratchFolder folder;
  write_video(folder / "v.mp4", 64, 48, 3);
  const auto refusal = [&](const std::string& bytes) {
    const auto path = folder.file("x", bytes);
    return message_of<IoError>([&] { count_frames(path); });
  };
  CHECK(contains(refusal(""), "x: is empty, expected a video"));
  CHECK(contains(refusal("hello"), "x: "));
  CHECK(contains(refusal("#EXTM3U\n#EXTINF:1,\n" + (folder / "v.mp4").string() + "\n#EXT-X-ENDLIST\n"), "x: "));
  CHECK(contains(refusal("ffconcat version 1.0\nfile '" + (folder / "v.mp4").string() + "'\n"), "x: "));
  CHECK(contains(message_of<IoError>([&] { io::VideoReader r(folder / "none"); }), "none: cannot open"));
  CHECK(contains(message_of<IoError>([&] { count_frames(folder / "v.mp4", {2, 100, 10'000}); }), "more than 2 frames"));
  CHECK(contains(message_of<IoError>([&] {
                   count_frames(folder / "v.mp4", {9, 60, 10'000});
                 }),
                 "a video of 64x48 pixels; sides must be 1 to 60"));
  CHECK(contains(message_of<IoError>([&] { count_frames(folder / "v.mp4", {9, 100, 1000}); }), "pixels at most 1000"));
}

TEST_CASE("a sound without pictures is refused with its streams") {
  const ScratchFolder folder;
  std::string wav =
      std::string("RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\x08\0\0", 44) +
      std::string(2048, '\0');
  const auto path = folder.file("sound.wav", wav);
  CHECK(contains(message_of<IoError>([&] { io::VideoReader r(path); }),
                 "has no video that can be decoded; its streams: audio (pcm_s16le)"));
}

TEST_CASE("sizes and rates that cannot be written are refused before anything is created") {
  const ScratchFolder folder;
  const auto refusal = [&](std::int64_t w, std::int64_t h, double rate) {
    return message_of<ArgumentError>([&] { io::VideoWriter v(folder / "v.mp4", w, h, rate); });
  };
  CHECK(contains(refusal(33, 32, 8), "v.mp4: mp4 needs even sides of 2 to 16384 pixels, got 33x32"));
  CHECK(contains(refusal(0, 32, 8), "got 0x32"));
  CHECK(contains(refusal(32, 32, 0), "frames per second"));
  CHECK(contains(refusal(32, 32, std::nan("")), "frames per second"));
  {
    io::VideoWriter w(folder / "v.mp4", 32, 32, 8);
    CHECK(contains(message_of<ShapeError>([&] {
                     w.add(empty({32, 34, 3}, DType::u8));
                   }),
                   "frames are u8[32, 32, 3], got u8[32, 34, 3]"));
    CHECK_THROWS_AS(w.finish(), ArgumentError);
  }
  CHECK(folder.names().empty());
}

TEST_CASE("a full disk is an error with the file's name and leaves nothing") {
  const ScratchFolder folder;
  folder.file("v.mp4", "old");
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  for (const ::rlim_t limit : {0u, 100u, 2000u}) {
    const ::rlimit small{limit, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    std::string message;
    try {
      write_video(folder / "v.mp4", 64, 48, 17);
    } catch (const IoError& e) {
      message = e.what();
    }
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(contains(message, "v.mp4: writing at byte "));
    CHECK(contains(message, "File too large"));
  }
  CHECK(bytes_of(folder / "v.mp4") == "old");
  CHECK(folder.names() == std::vector<std::string>{"v.mp4"});
}
