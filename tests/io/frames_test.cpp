// tests/io/frames_test.cpp - clips of every kind in and out, destinations checked beforehand, contact sheets.
#include "io/pictures.hpp"
#include "io/scratch_folder.hpp"

#include <kinema/io/contact_sheet.hpp>

#include <sys/resource.h>

#include <limits>

using namespace kinema;
using kinema::test::bytes_of;
using kinema::test::contains;
using kinema::test::message_of;
using kinema::test::ScratchFolder;

namespace {

using Names = std::vector<std::string>;

/// f32 [F, H, W, 3] of multiples of 1/255.
Tensor<> clip(std::int64_t frames, std::int64_t height, std::int64_t width) {
  Tensor<> t = empty({frames, height, width, 3}, DType::f32);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(i * 7 % 256) / 255.0f;
  return t;
}
void write(const std::filesystem::path& path, const Tensor<>& frames) {
  const auto sink = io::make_frame_sink(path);
  sink->add(frames);
  sink->finish();
}
bool equal_pixels(const Tensor<>& a, const Tensor<>& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.ref().data, b.ref().data, a.bytes()) == 0;
}
Tensor<> to_u8(const Tensor<>& clip4) {
  Tensor<> out = empty(clip4.shape(), DType::u8);
  for (std::int64_t i = 0; i < clip4.numel(); ++i)
    out.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(std::lround(clip4.data<float>()[i] * 255));
  return out;
}

}  // namespace

TEST_CASE("arrays round trip exactly, u8 and f32, clamped") {
  const ScratchFolder folder;
  const Tensor<> c = clip(3, 4, 6);
  for (const char* name : {"v.npy", "v.safetensors"}) {
    INFO(name);
    write(folder / name, c);
    CHECK(equal_pixels(io::read_frames(folder / name), c));
    CHECK(equal_pixels(io::read_frames(folder / name, 2), narrow(c, 0, 0, 2)));
    write(folder / name, to_u8(c));
    CHECK(equal_pixels(io::read_frames(folder / name), c));
    Tensor<> wild = clip(1, 1, 2);
    wild.data<float>()[0] = -0.5f;
    wild.data<float>()[1] = std::numeric_limits<float>::infinity();
    write(folder / name, wild);
    const Tensor<> back = io::read_frames(folder / name);
    CHECK(back.data<float>()[0] == 0.0f);
    CHECK(back.data<float>()[1] == 1.0f);
    CHECK(back.data<float>()[2] == wild.data<float>()[2]);
  }
  CHECK(folder.names() == Names{"v.npy", "v.safetensors"});
  CHECK(io::Safetensors(folder / "v.safetensors").names() == Names{"frames"});
}

TEST_CASE("frames of any strides and floating types") {
  const ScratchFolder folder;
  const Tensor<> channels_first = zeros({3, 2, 4, 6}, DType::f32);  // [C, F, H, W], as a decoder makes it
  for (std::int64_t i = 0; i < channels_first.numel(); ++i)
    channels_first.data<float>()[i] = static_cast<float>(i % 200) / 255.0f;
  write(folder / "v.npy", permute(channels_first, {1, 2, 3, 0}));
  const Tensor<> back = io::read_frames(folder / "v.npy");
  CHECK(back.data<float>()[1] == channels_first.data<float>()[2 * 4 * 6]);
  write(folder / "v.npy", full({1, 2, 2, 3}, 0.5, DType::bf16));
  CHECK(io::read_frames(folder / "v.npy").data<float>()[0] == 0.5f);
}

TEST_CASE("bytes are rounded to nearest even and NaN is an error with its place") {
  CHECK(io::picture_to_u8(full({1, 1, 3}, 0.5, DType::f32)).data<std::uint8_t>()[0] == 128);  // 127.5
  CHECK(io::picture_to_u8(full({1, 1, 3}, 0.1, DType::f64)).data<std::uint8_t>()[0] == 26);   // 25.5 in float
  CHECK(io::picture_to_u8(full({1, 1, 3}, 2.0, DType::f32)).data<std::uint8_t>()[2] == 255);
  CHECK(io::picture_to_u8(full({1, 1, 3}, -1.0, DType::f16)).data<std::uint8_t>()[2] == 0);
  const ScratchFolder folder;
  Tensor<> bad = clip(2, 2, 3);
  bad.data<float>()[18 + 9 + 3 + 1] = std::numeric_limits<float>::quiet_NaN();
  for (const char* name : {"v.npy", "v.png", "v.mp4", "v.safetensors", "v.apng", "v.avi", "v.gif"}) {
    INFO(name);
    CHECK(contains(message_of<NonFiniteError>([&] { write(folder / name, narrow(bad, 2, 0, 2)); }),
                   ": frame 1: pixel at row 1, column 1, channel 1 is not a number"));
  }
  CHECK(folder.names().empty());
}

TEST_CASE("picture sequences and their names") {
  const ScratchFolder folder;
  const Tensor<> c = clip(3, 5, 4), one = clip(1, 5, 4);
  SECTION("a pattern") {
    write(folder / "f_%05d.png", c);
    CHECK(folder.names() == Names{"f_00000.png", "f_00001.png", "f_00002.png"});
    CHECK(equal_pixels(io::read_frames(folder.path()), to_u8(c)));
  }
  SECTION("a pattern, one frame, no width") {
    write(folder / "%d.png", one);
    CHECK(folder.names() == Names{"0.png"});
  }
  SECTION("no pattern, several frames") {
    write(folder / "x.png", c);
    CHECK(folder.names() == Names{"x_00000.png", "x_00001.png", "x_00002.png"});
  }
  SECTION("no pattern, one frame") {
    write(folder / "x.PNG", one);
    CHECK(folder.names() == Names{"x.PNG"});
    CHECK(equal_pixels(io::read_frames(folder / "x.PNG"), to_u8(one)));
  }
  SECTION("nothing appears before the end") {
    {
      const auto sink = io::make_frame_sink(folder / "a/b/f_%02d.png");
      sink->add(c);
      CHECK(folder.names() == Names{"a"});
    }
    CHECK(folder.names().empty());
  }
}

TEST_CASE("natural order of a folder's frames") {
  const ScratchFolder folder;
  const auto put = [&](const std::string& name, int value) {
    io::write_png(folder / name, full({2, 2, 3}, value, DType::u8));
  };
  put("f10.png", 3);
  put("f2.png", 2);
  put("f01.png", 1);
  put("f_contact_sheet.png", 9);
  put(".hidden.png", 9);
  folder.file("notes.txt", "x");
  const Tensor<> t = io::read_frames(folder.path());
  REQUIRE(t.shape() == Shape{3, 2, 2, 3});
  for (int i = 0; i < 3; ++i) CHECK(t.data<std::uint8_t>()[i * 12] == i + 1);
  CHECK(io::read_frames(folder.path(), 2).size(0) == 2);
  io::write_png(folder / "f11.png", full({2, 3, 3}, 1, DType::u8));
  CHECK(contains(message_of<IoError>([&] { io::read_frames(folder.path()); }),
                 "f11.png: is 3x2 pixels, the frames before are 2x2"));
  const ScratchFolder none;
  CHECK(contains(message_of<IoError>([&] { io::read_frames(none.path()); }), "has no frames"));
}

TEST_CASE("videos in and out") {
  const ScratchFolder folder;
  write(folder / "v.mp4", full({9, 32, 48, 3}, 0.5, DType::f32));
  const Tensor<> t = io::read_frames(folder / "v.mp4");
  REQUIRE(t.shape() == Shape{9, 32, 48, 3});
  CHECK(std::abs(t.data<std::uint8_t>()[5000] - 128) <= 2);
  CHECK(io::read_frames(folder / "v.mp4", 5).size(0) == 5);
  std::filesystem::rename(folder / "v.mp4", folder / "v.dat");  // the content decides
  CHECK(io::read_frames(folder / "v.dat").size(0) == 9);
  CHECK(contains(message_of<ArgumentError>([&] { write(folder / "w.mp4", clip(1, 5, 5)); }), "needs even sides"));
  CHECK(folder.names() == Names{"v.dat"});
}

TEST_CASE("inputs that are no clips") {
  const ScratchFolder folder;
  const auto refusal = [&](const std::string& name) {
    return message_of<IoError>([&] { io::read_frames(folder / name); });
  };
  CHECK(contains(refusal("none.npy"), "none.npy: cannot open: No such file"));
  io::write_npy(folder / "a.npy", zeros({2, 2, 3, 4}, DType::f32));
  CHECK(contains(refusal("a.npy"), "frames must be f32 or u8 [F, H, W, 3], got f32[2, 2, 3, 4]"));
  io::write_npy(folder / "a.npy", zeros({2, 2, 3, 3}, DType::f64));
  CHECK(contains(refusal("a.npy"), "got f64"));
  io::write_npy(folder / "a.npy", zeros({0, 2, 3, 3}, DType::f32));
  CHECK(contains(refusal("a.npy"), "got f32[0, 2, 3, 3]"));
  Tensor<> c = clip(2, 2, 3);
  c.data<float>()[18 + 9 + 3 + 2] = 1.5f;
  io::write_npy(folder / "a.npy", c);
  CHECK(contains(refusal("a.npy"), "frame 1, row 1, column 1, channel 2: must be 0 to 1, is 1.5"));
  c.data<float>()[18 + 9 + 3 + 2] = std::numeric_limits<float>::quiet_NaN();
  io::write_npy(folder / "a.npy", c);
  CHECK(contains(refusal("a.npy"), "must be 0 to 1, is nan"));
  folder.file("x.png", "hello");
  CHECK(contains(refusal("x.png"), "must be a PNG or JPEG picture"));
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK(contains(refusal("fifo"), "is a FIFO"));
  CHECK(contains(refusal("x.png/y"), "Not a directory"));
}

TEST_CASE("destinations are checked before the work and without a trace") {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "sub.mp4");
  folder.file("file", "");
  const auto bad_argument = [&](const std::string& name) {
    return message_of<ArgumentError>([&] { io::check_frames_destination(folder / name); });
  };
  CHECK(contains(bad_argument("v"), "an output needs an extension; allowed are .mp4, .webm"));
  CHECK(contains(bad_argument("v.mkv"), "unknown extension \".mkv\"; allowed are .mp4, .webm, .gif, .webp, .apng, .avi, .png"));
  for (const char* name : {"%s.png", "%d_%d.png", "%5d.png", "%.png", "%0d.png", "%00d.png", "%010d.png", "a%%.png",
                           "%ld.png", "%n.png", "%"}) {
    INFO(name);
    CHECK_THROWS_AS(io::check_frames_destination(folder / name), ArgumentError);
  }
  CHECK(contains(message_of<IoError>([&] { io::check_frames_destination(folder / "sub.mp4"); }), "is a folder"));
  CHECK(contains(message_of<IoError>([&] { io::check_frames_destination(folder / "file/v.mp4"); }), "Not a directory"));
  for (const char* name : {"v.mp4", "V.MP4", "v.avi", "v.apng", "f_%05d.png", "%d.png", "new/x.npy", "x.safetensors"})
    CHECK_NOTHROW(io::check_frames_destination(folder / name));
  CHECK(folder.names() == Names{"file", "sub.mp4"});
}

TEST_CASE("sinks refuse what they cannot take and leave nothing") {
  const ScratchFolder folder;
  for (const char* name : {"v.npy", "v.png", "v.mp4", "v.safetensors", "v.apng", "v.avi", "v.gif", "v.webm"}) {
    INFO(name);
    const auto sink = io::make_frame_sink(folder / name);
    CHECK_THROWS_AS(sink->finish(), ArgumentError);
    CHECK_THROWS_AS(sink->add(zeros({4, 4}, DType::f32)), ShapeError);
    CHECK_THROWS_AS(sink->add(zeros({4, 4, 3}, DType::i64)), ShapeError);
    sink->add(zeros({4, 4, 3}, DType::f32));
    CHECK(contains(message_of<ShapeError>([&] {
                     sink->add(zeros({4, 6, 3}, DType::f32));
                   }),
                   "frame 1 is [4, 6, 3], the frames before are [4, 4, 3]"));
  }
  CHECK(folder.names().empty());
}

TEST_CASE("a full disk keeps the old clip whole") {
  const ScratchFolder folder;
  for (const char* name : {"v.npy", "v.safetensors", "v.mp4", "v.avi", "v.apng", "v.gif", "v.webm"}) folder.file(name, "old");
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  for (const char* name : {"v.npy", "v.safetensors", "v.mp4", "v.avi", "v.apng", "v.gif", "v.webm", "v_%d.png"}) {
    const ::rlimit small{50, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    std::string message;
    try {
      write(folder / name, clip(3, 32, 32));
    } catch (const IoError& e) {
      message = e.what();
    }
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(contains(message, "File too large"));
  }
  CHECK(folder.names() == Names{"v.apng", "v.avi", "v.gif", "v.mp4", "v.npy", "v.safetensors", "v.webm"});
  for (const char* name : {"v.npy", "v.safetensors", "v.mp4", "v.avi", "v.apng", "v.gif", "v.webm"}) CHECK(bytes_of(folder / name) == "old");
}

TEST_CASE("contact sheets") {
  CHECK(io::contact_sheet_path("a/v.mp4") == "a/v_contact_sheet.png");
  CHECK(io::contact_sheet_path("f_%05d.png") == "f_contact_sheet.png");
  CHECK(io::contact_sheet_path("%d.png") == "frames_contact_sheet.png");
  const auto sheet_of = [](std::int64_t n, std::int64_t h, std::int64_t w) {
    io::ContactSheet sheet(n);
    for (std::int64_t i = 0; i < n; ++i) sheet.add(full({h, w, 3}, static_cast<double>(i), DType::u8));
    return sheet.picture();
  };
  // 49 frames of 160x128: sixteen in a 4x4 grid, first and last included.
  const Tensor<> t = sheet_of(49, 128, 160);
  REQUIRE(t.shape() == Shape{4 * 130 - 2, 4 * 162 - 2, 3});
  const auto at = [&](std::int64_t y, std::int64_t x) {
    return static_cast<int>(t.data<std::uint8_t>()[(y * t.size(1) + x) * 3]);
  };
  CHECK(at(0, 0) == 0);
  CHECK(at(0, 162) == 3);
  CHECK(at(3 * 130, 3 * 162) == 48);
  CHECK(at(0, 160) == io::ContactSheet::line_grey);
  CHECK(at(129, 0) == io::ContactSheet::line_grey);
  CHECK(sheet_of(1, 200, 130).shape() == Shape{200, 130, 3});
  CHECK(sheet_of(5, 64, 128).shape() == Shape{2 * 66 - 2, 3 * 130 - 2, 3});
  CHECK(sheet_of(2, 32, 48).shape() == Shape{96, 2 * 146 - 2, 3});   // enlarged three times
  CHECK(sheet_of(1, 480, 720).shape() == Shape{213, 320, 3});        // made smaller
  CHECK_THROWS_AS(io::ContactSheet(3).picture(), ArgumentError);
  const ScratchFolder folder;
  io::ContactSheet sheet(17);
  sheet.add(clip(17, 32, 32));
  sheet.write(folder / "s.png");
  CHECK(io::read_image(folder / "s.png").shape() == Shape{4 * 130 - 2, 4 * 130 - 2, 3});
}
