// tests/program/bad_input/cases_media.cpp - pictures, clips and latents that come in, and files that shall go out.
#include "bytes.hpp"
#include "case.hpp"

#include "io/pictures.hpp"

#include <limits>

#include <sys/stat.h>

namespace bad_input {
namespace {

using Prepare = std::function<void(const Folder&)>;
Prepare put(const std::string& name, const std::string& bytes) { return [=](const Folder& f) { f.file(name, bytes); }; }

void add_pictures(Cases& cases) {
  const auto with = [](const std::string& name) {
    return Words{"generate", "--model", "i2v", "--prompt", "a", "--steps", "1", "--num-frames", "1", "--output", "v.npy", "--quiet", "--no-contact-sheet", "--init-image", name};
  };
  const auto refuse = [&](const std::string& what, Words words, const std::string& bytes, const std::string& name = "x.png") {
    words.push_back(name);
    cases.push_back({"picture: " + what, {3}, words, with(name), put(name, bytes)});
  };
  const auto accept = [&](const std::string& what, const std::string& bytes, const std::string& name = "x.png") {
    cases.push_back({"picture valid: " + what, {0}, {"v.npy"}, with(name), put(name, bytes)});
    cases.back().may_write = true;
  };
  for (const auto& p : kinema::test::png_pictures) accept(p.name, from_hex(p.file));
  for (const auto& p : kinema::test::jpeg_pictures) accept(p.name, from_hex(p.file), "x.jpg");
  const std::string jpeg = from_hex(kinema::test::jpeg_pictures[0].file), progressive = from_hex(kinema::test::jpeg_pictures[1].file);
  accept("64x64", png(64, 64));
  accept("1x1", png(1, 1));
  accept("1x1000", png(1, 1000));
  accept("301x97, grey", png(301, 97, 0));
  accept("RGBA", png(20, 20, 6));
  accept("palette", png(20, 20, 3));
  accept("16 bits", png(20, 20, 2, 16));
  accept("a JPEG called .png", jpeg);
  accept("a PNG called .jpg", png(16, 16), "x.jpg");
  accept("no extension", png(16, 16), "picture");
  accept("another extension", png(16, 16), "x.bin");
  accept("bytes behind the end", png(16, 16) + "behind");
  accept("texts and gamma", png(16, 16, 2, 8, png_chunk("gAMA", big_endian(45455, 4)) + png_chunk("tEXt", with_nul("k|v"))));
  accept("an unknown private chunk", png(16, 16, 2, 8, png_chunk("abCd", "x")));
  accept("a name with spaces and unicode", png(16, 16), "ein Bild 漢🎬.png");

  const std::string whole = png(16, 16);
  for (const std::size_t part : {1u, 2u, 3u, 4u, 5u, 6u, 7u}) {
    refuse("PNG cut at " + std::to_string(part) + "/8", {}, whole.substr(0, whole.size() * part / 8));
    refuse("JPEG cut at " + std::to_string(part) + "/8", {}, jpeg.substr(0, jpeg.size() * part / 8), "x.jpg");
    refuse("progressive JPEG cut at " + std::to_string(part) + "/8", {}, progressive.substr(0, progressive.size() * part / 8), "x.jpg");
  }
  refuse("PNG without its last byte", {"truncated"}, whole.substr(0, whole.size() - 1));
  refuse("JPEG without its last byte", {"truncated"}, jpeg.substr(0, jpeg.size() - 1), "x.jpg");
  refuse("JPEG without its end marker", {"truncated"}, jpeg.substr(0, jpeg.size() - 2), "x.jpg");
  refuse("only the signature", {"truncated"}, whole.substr(0, 8));
  refuse("one byte", {}, "\x89");
  refuse("wrong checksum", {"checksum", "IDAT"}, [&] { std::string x = whole; x[60] ^= 1; return x; }());
  refuse("width 0", {"0x16"}, png(0, 16));
  refuse("height 0", {"16x0"}, png(16, 0));
  const auto sized = [&](std::uint32_t w, std::uint32_t h) {
    return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big_endian(w, 4) + big_endian(h, 4) + "\x08\x02" + std::string(3, '\0')) + png_chunk("IDAT", stored("x")) + png_chunk("IEND", "");
  };
  refuse("65535 x 65535 in 100 bytes", {"65535x65535"}, sized(65535, 65535));
  refuse("2^31 wide", {"2147483648"}, sized(1u << 31, 1));
  refuse("2^32-1 both", {"4294967295"}, sized(~0u, ~0u));
  refuse("16384 x 16384", {"16384x16384"}, sized(16384, 16384));
  refuse("8000 x 8000 without data", {}, sized(8000, 8000));
  refuse("less data than its size", {}, sized(16, 16));
  refuse("no IDAT", {"IDAT"}, "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big_endian(4, 4) + big_endian(4, 4) + "\x08\x02" + std::string(3, '\0')) + png_chunk("IEND", ""));
  refuse("no IHDR", {"IHDR"}, "\x89PNG\r\n\x1a\n" + png_chunk("IDAT", stored("x")) + png_chunk("IEND", ""));
  refuse("two IHDR", {"IHDR"}, whole.substr(0, 33) + whole.substr(8));
  refuse("palette without PLTE", {}, [] { const std::string p = png(8, 8, 3); return p.substr(0, 33) + p.substr(p.find("IDAT") - 4); }());
  accept("palette index out of range", [] { std::string rows; for (int i = 0; i < 8; ++i) rows += '\0' + std::string(8, '\x09'); const std::string p = png(8, 8, 3); return p.substr(0, p.find("IDAT") - 4) + png_chunk("IDAT", stored(rows)) + png_chunk("IEND", ""); }());
  refuse("depth 3", {}, png(8, 8, 0, 3));
  refuse("colour type 5", {}, png(8, 8, 5));
  refuse("filter 9", {}, "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big_endian(1, 4) + big_endian(1, 4) + "\x08\x02" + std::string(3, '\0')) + png_chunk("IDAT", stored("\x09xyz")) + png_chunk("IEND", ""));
  refuse("not zlib", {}, "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big_endian(1, 4) + big_endian(1, 4) + "\x08\x02" + std::string(3, '\0')) + png_chunk("IDAT", "\xFF\xFF\xFF\xFF") + png_chunk("IEND", ""));
  refuse("text", {}, "this is not a picture\n");
  refuse("text called .jpg", {}, "this is not a picture\n", "x.jpg");
  refuse("SVG", {}, "<svg xmlns='http://www.w3.org/2000/svg'/>", "x.svg");
  refuse("LFS pointer", {"LFS"}, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  refuse("HTML", {"HTML"}, "<html></html>");
  refuse("a model's weights", {}, one_tensor("x", "F32", "[4]", 16));
  refuse("zeros", {}, std::string(1000, '\0'));
  refuse("JPEG with a height of 0", {}, [&] { std::string x = jpeg; const std::size_t at = x.find("\xFF\xC0"); x[at + 5] = x[at + 6] = '\0'; return x; }(), "x.jpg");
  refuse("JPEG with a bad Huffman table", {"Huffman"}, [&] { std::string x = jpeg; const std::size_t at = x.find("\xFF\xC4"); x[at + 6] = '\xFF'; return x; }(), "x.jpg");
  refuse("arithmetic JPEG", {"not supported"}, [&] { std::string x = jpeg; x[x.find("\xFF\xC0") + 1] = '\xC9'; return x; }(), "x.jpg");
  cases.push_back({"picture: as many frames as a clip has", {0}, {"v.npy"}, with("made/v.mp4")});
  cases.back().may_write = true;
  cases.push_back({"picture: of floats", {3}, {"x.npy"}, with("x.npy"), put("x.npy", grey_clip(1, false))});
}

void add_clips(Cases& cases) {
  const auto with = [](const std::string& name, Words more = {}) {
    Words words = {"generate", "--model", "model", "--prompt", "a", "--steps", "2", "--strength", "0.5", "--output", "v.npy", "--quiet", "--no-contact-sheet", "--init-video", name};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const auto encode = [](const std::string& name) { return Words{"encode", "--model", "model", "--input", name, "--output", "l.safetensors", "--quiet"}; };
  const auto refuse = [&](const std::string& what, Words words, const std::string& bytes, const std::string& name = "x.npy", std::vector<int> codes = {3}) {
    words.push_back(name);
    cases.push_back({"clip: " + what, codes, words, with(name), put(name, bytes)});
    cases.push_back({"clip to encode: " + what, codes, words, encode(name), put(name, bytes)});
  };
  const auto accept = [&](const std::string& what, const Words& command, const Prepare& prepare = {}) {
    cases.push_back({"clip valid: " + what, {0}, {}, command, prepare});
    cases.back().may_write = true;
  };
  const auto numpy = [](const std::string& descr, const std::string& shape, std::size_t bytes) { return npy(1, npy_dictionary(descr, shape), std::string(bytes, '\0')); };
  const std::size_t frame = 64 * 64 * 3;
  accept("npy of bytes", with("x.npy"), put("x.npy", grey_clip(9, true)));
  accept("npy of floats", with("x.npy"), put("x.npy", grey_clip(9, false)));
  accept("npy version 2", with("x.npy"), put("x.npy", grey_clip(9, true, 0.5f, 2)));
  accept("npy version 3", with("x.npy"), put("x.npy", grey_clip(9, true, 0.5f, 3)));
  accept("npy without its extension", encode("array"), put("array", grey_clip(9, true)));
  accept("0 and 1", encode("x.npy"), put("x.npy", npy(1, npy_dictionary("<f4", "(1, 16, 16, 3)"), floats([] { std::vector<float> v(768, 0.0f); v[5] = 1.0f; return v; }()))));
  accept("mp4", with("made/v.mp4"));
  accept("folder of pictures", with("made/frames"));
  accept("gif", encode("made/v.gif"));
  accept("avi", encode("made/v.avi"));
  accept("webm", encode("made/v.webm"));
  accept("animated png", encode("made/v.apng"));
  accept("one picture to encode", encode("x.png"), put("x.png", png(64, 64)));
  accept("more frames than asked for", with("x.npy", {"--num-frames", "9"}), put("x.npy", grey_clip(17, true)));
  accept("an mp4 by another name", encode("x.dat"), [](const Folder& f) { f.link("made/v.mp4", "x.dat"); });
  accept("an mp4 whose name has a protocol", encode("file:x.mp4"), [](const Folder& f) { f.link("made/v.mp4", "file:x.mp4"); });

  refuse("no frames", {}, numpy("|u1", "(0, 64, 64, 3)", 0));
  refuse("four channels", {"[9, 8, 8, 4]"}, numpy("|u1", "(9, 8, 8, 4)", 9 * 256));
  refuse("channels first", {"[9, 3, 64, 64]"}, numpy("|u1", "(9, 3, 64, 64)", 9 * frame));
  refuse("rank 5", {}, numpy("|u1", "(1, 9, 64, 64, 3)", 9 * frame));
  refuse("rank 2", {}, numpy("|u1", "(64, 64)", 4096));
  refuse("scalar", {}, numpy("|u1", "()", 1));
  for (const char* type : {"<f8", "<f2", "<i4", "<i8", "|b1"})
    refuse(std::string("numpy type ") + type, {}, numpy(type, "(1, 16, 16, 3)", 768 * (type[2] == 'b' ? 1 : static_cast<std::size_t>(type[2] - '0')) / (type[1] == 'b' ? 1 : 1)));
  for (const char* type : {">f4", "|O", "<c8", "<U4", "|S1", "<u2", "f4", "", "<f4\\n"}) refuse(std::string("numpy type ") + type, {}, numpy(type, "(1, 16, 16, 3)", 3072));
  refuse("records", {}, npy(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 16, 16, 3), }", std::string(3072, '\0')));
  refuse("Fortran order", {"Fortran"}, npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 16, 16, 3), }", std::string(768, '\0')));
  refuse("a byte short", {}, numpy("|u1", "(1, 16, 16, 3)", 767));
  refuse("a byte more", {}, numpy("|u1", "(1, 16, 16, 3)", 769));
  refuse("no data", {}, numpy("|u1", "(9, 64, 64, 3)", 0));
  refuse("shape overflows", {}, numpy("<f4", "(4611686018427387904, 4, 4, 3)", 16));
  refuse("shape of 30 digits", {}, numpy("<f4", "(100000000000000000000000000000, 4, 4, 3)", 16));
  refuse("negative shape", {}, numpy("|u1", "(-1, 16, 16, 3)", 768));
  refuse("fractional shape", {}, numpy("|u1", "(1.0, 16, 16, 3)", 768));
  refuse("shape is a list", {}, numpy("|u1", "[1, 16, 16, 3]", 768));
  refuse("version 4", {"version 4"}, npy(4, npy_dictionary("|u1", "(1, 16, 16, 3)"), std::string(768, '\0')));
  refuse("version 0", {"version 0"}, npy(0, npy_dictionary("|u1", "(1, 16, 16, 3)"), std::string(768, '\0')));
  refuse("header missing a key", {}, npy(1, "{'descr': '|u1', 'shape': (1, 16, 16, 3), }", std::string(768, '\0')));
  refuse("header with a key more", {}, npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 16, 16, 3), 'x': 1}", std::string(768, '\0')));
  refuse("header with a key twice", {}, npy(1, "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1, 16, 16, 3), }", std::string(768, '\0')));
  refuse("header that is code", {}, npy(1, "__import__('os').system('touch pwned')", ""));
  refuse("header longer than the file", {}, std::string("\x93NUMPY\x01\x00\xFF\xFF", 10) + "{}");
  refuse("header length 2^32-1", {}, std::string("\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF", 12) + "{}");
  refuse("only the magic", {}, "\x93NUMPY");
  refuse("values of 0 to 255 as floats", {"frame 0, row 0, column 0, channel 0", "128"}, grey_clip(1, false, 128.0f));
  refuse("negative values", {"-0.5"}, grey_clip(1, false, -0.5f));
  refuse("NaN", {"nan"}, grey_clip(1, false, std::numeric_limits<float>::quiet_NaN()), "x.npy", {3, 6});
  refuse("infinity", {"inf"}, grey_clip(1, false, std::numeric_limits<float>::infinity()), "x.npy", {3, 6});
  refuse("pickle called .npy", {}, "\x80\x02}q", "x.npy");
  refuse("zip called .npz", {}, "PK\3\4xxxxxxxxxxxxxxxxxxxxxxxxxxxx", "x.npz");
  refuse("text called .mp4", {}, "this is not a video", "x.mp4");
  refuse("a playlist", {}, "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "x.m3u8");
  refuse("a concat script", {}, "ffconcat version 1.0\nfile made/v.mp4\n", "x.txt");
  refuse("an SDP", {}, "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n", "x.sdp");
  refuse("zeros called .mp4", {}, std::string(4096, '\0'), "x.mp4");
  refuse("a wave file", {}, "RIFF" + little_endian(36 + 800, 4) + "WAVEfmt " + little_endian(16, 4) + little_endian(1, 2) + little_endian(1, 2) + little_endian(8000, 4) + little_endian(8000, 4) +
                                little_endian(1, 2) + little_endian(8, 2) + "data" + little_endian(800, 4) + std::string(800, '\x80'), "x.wav");
  for (const char* name : {"http://127.0.0.1:1/x.mp4", "https://example.invalid/x.mp4", "concat:made/v.mp4|made/v.mp4", "pipe:0", "tcp://127.0.0.1:1", "data:,x", "crypto:x", "subfile,,start,0,end,9,,:made/v.mp4", "-"})
    cases.push_back({std::string("clip: protocol ") + name, {2, 3}, {}, encode(name)});
  const auto cut = [&](const std::string& name, double share) {
    cases.push_back({"clip: " + name + " cut at " + std::to_string(share), {3}, {name}, encode(name), [=](const Folder& f) {
                       const std::string whole = f.read("made/" + name);
                       f.file(name, whole.substr(0, static_cast<std::size_t>(static_cast<double>(whole.size()) * share)));
                     }});
  };
  for (const double share : {0.05, 0.3, 0.6, 0.9, 0.99}) cut("v.mp4", share);
  for (const double share : {0.02, 0.05}) cut("v.avi", share), cut("v.webm", share);

  // Sizes and counts.
  cases.push_back({"clip: 16 frames where 17 are asked for", {2, 3}, {"x.npy", "16", "17"}, with("x.npy", {"--num-frames", "17"}), put("x.npy", grey_clip(16, true))});
  cases.push_back({"clip: frames that are no 4N+1", {2, 3}, {}, with("x.npy"), put("x.npy", grey_clip(8, true))});
  cases.push_back({"clip: a size that is no multiple of 8", {2, 3}, {"x.npy"}, encode("x.npy"), put("x.npy", npy(1, npy_dictionary("|u1", "(1, 20, 20, 3)"), std::string(1200, '\0')))});
  cases.push_back({"clip: a side of 20000", {3}, {"x.npy", "20000"}, encode("x.npy"), put("x.npy", npy(1, npy_dictionary("|u1", "(1, 1, 20000, 3)"), std::string(60000, '\0')))});
  cases.push_back({"clip: pictures of two sizes", {3}, {"b.png", "8x8"}, encode("d"), [](const Folder& f) {
                     f.file("d/a.png", png(16, 16));
                     f.file("d/b.png", png(8, 8));
                   }});
  cases.push_back({"clip: a damaged picture in the folder", {3}, {"b.png"}, encode("d"), [](const Folder& f) {
                     f.file("d/a.png", png(16, 16));
                     f.file("d/b.png", png(16, 16).substr(0, 100));
                   }});
  accept("a folder with other files", encode("d"), [](const Folder& f) {
    f.file("d/a.png", png(16, 16));
    f.file("d/notes.txt", "x");
    f.file("d/.hidden.png", "x");
  });
}

void add_latents(Cases& cases) {
  const auto decode = [](const std::string& name, Words more = {}) {
    Words words = {"decode", "--model", "model", "--latents", name, "--output", "v.npy", "--quiet", "--no-contact-sheet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const auto refuse = [&](const std::string& what, Words words, const std::string& bytes, std::vector<int> codes = {3}) {
    words.push_back("x.safetensors");
    cases.push_back({"latents: " + what, std::move(codes), words, decode("x.safetensors"), put("x.safetensors", bytes)});
  };
  const auto accept = [&](const std::string& what, const std::string& bytes) {
    cases.push_back({"latents valid: " + what, {0}, {"v.npy"}, decode("x.safetensors"), put("x.safetensors", bytes)});
    cases.back().may_write = true;
  };
  const auto latents = [](const std::string& dtype, const std::string& shape, std::size_t bytes, const std::string& metadata = {}) {
    return safetensors("{" + (metadata.empty() ? "" : "\"__metadata__\":{" + metadata + "},") + "\"latents\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[0," + std::to_string(bytes) + "]}}",
                       std::string(bytes, '\0'));
  };
  const std::size_t values = 3 * 16 * 4 * 4;
  accept("F32", latents("F32", "[1,3,16,4,4]", 4 * values));
  accept("F16", latents("F16", "[1,3,16,4,4]", 2 * values));
  accept("BF16", latents("BF16", "[1,3,16,4,4]", 2 * values));
  accept("F64", latents("F64", "[1,3,16,4,4]", 8 * values));
  accept("of encode", latents("F32", "[1,16,3,4,4]", 4 * values, "\"layout\":\"vae\""));
  accept("with one tensor more", safetensors("{\"latents\":{\"dtype\":\"F32\",\"shape\":[1,1,16,4,4],\"data_offsets\":[0,1024]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1024,1028]}}", std::string(1028, '\0')));
  refuse("no tensor of that name", {"latents", "x.weight"}, one_tensor("x.weight", "F32", "[4]", 16));
  refuse("no tensors", {"latents"}, safetensors("{}"));
  refuse("rank 4", {"[3, 16, 4, 4]"}, latents("F32", "[3,16,4,4]", 4 * values));
  refuse("rank 6", {}, latents("F32", "[1,1,3,16,4,4]", 4 * values));
  refuse("batch of 2", {"[2, 3, 16, 4, 4]"}, latents("F32", "[2,3,16,4,4]", 8 * values));
  refuse("eight channels", {"channels"}, latents("F32", "[1,3,8,4,4]", 2 * values));
  refuse("integers", {}, latents("I32", "[1,3,16,4,4]", 4 * values));
  refuse("booleans", {}, latents("BOOL", "[1,3,16,4,4]", values));
  refuse("a type that is not read", {}, latents("U32", "[1,3,16,4,4]", 4 * values));
  refuse("no frames", {}, latents("F32", "[1,0,16,4,4]", 0));
  refuse("no rows", {}, latents("F32", "[1,3,16,0,4]", 0));
  refuse("NaN", {"latents"}, replaced(latents("F32", "[1,1,16,4,4]", 1024), std::string(4, '\0') + std::string(4, '\0'), std::string("\0\0\xC0\x7F\0\0\0\0", 8)), {3, 6});
  refuse("infinity", {"latents"}, replaced(latents("F32", "[1,1,16,4,4]", 1024), std::string(8, '\0'), std::string("\0\0\x80\x7F\0\0\0\0", 8)), {3, 6});
  refuse("surplus_frames is a word", {"surplus_frames", "x1"}, latents("F32", "[1,3,16,4,4]", 4 * values, "\"layout\":\"pipeline\",\"surplus_frames\":\"x1\""), {2, 3});
  refuse("surplus_frames of all", {"surplus_frames", "3"}, latents("F32", "[1,3,16,4,4]", 4 * values, "\"layout\":\"pipeline\",\"surplus_frames\":\"3\""), {2, 3});
  cases.push_back({"latents: --fps 0", {2}, {"--fps", "0"}, decode("made/l.safetensors", {"--fps", "0"})});
  cases.push_back({"latents: a picture", {3}, {"x.png"}, decode("x.png"), put("x.png", png(8, 8))});
  cases.push_back({"latents: an npy", {3}, {"x.npy", "numpy"}, decode("x.npy"), put("x.npy", grey_clip(1, true))});
}

void add_outputs(Cases& cases) {
  const auto refuse = [&](const std::string& what, std::vector<int> codes, const Words& words, const std::string& output, const Prepare& prepare = {}) {
    cases.push_back({"output: " + what, std::move(codes), words, generate({"--output", output}), prepare});
  };
  for (const char* name : {"v", "v.xyz", "v.mkv", "v.mp4.txt", ".mp4", "v.", "v.MOV", "v.npz", "v.pt", "v.safetensor"})
    refuse(std::string("called ") + name, {2}, {".mp4", ".webm", ".gif", ".avi", ".png", ".npy", ".safetensors", name}, name);
  for (const char* name : {"%s.png", "%d_%d.png", "%5d.png", "%n.png", "%.png", "%0d.png", "%00d.png", "%010d.png", "a%%.png", "%ld.png", "%x.png", "%*d.png", "%-5d.png", "%1$d.png", "% d.png", "%%d.png", "%d%.png"})
    refuse(std::string("pattern ") + name, {2}, {name, "%d"}, name);
  refuse("an empty name", {2, 3}, {}, "");
  refuse("a folder", {2, 3}, {"d.mp4"}, "d.mp4", [](const Folder& f) { f.folder("d.mp4"); });
  refuse("a link to a folder", {2, 3}, {"d.mp4"}, "d.mp4", [](const Folder& f) {
    f.folder("d");
    f.link("d", "d.mp4");
  });
  refuse("a slash behind", {2, 3}, {"d"}, "d/", [](const Folder& f) { f.folder("d"); });
  refuse("the model's folder", {2, 3}, {"model"}, "model");
  refuse("below a file", {1, 3}, {"x/v.mp4"}, "x/v.mp4", put("x", "x"));
  refuse("deep below a file", {1, 3}, {"x"}, "x/y/z/v.mp4", put("x", "x"));
  refuse("a FIFO", {1, 3}, {"v.npy", "FIFO"}, "v.npy", [](const Folder& f) { ::mkfifo((f / "v.npy").c_str(), 0600); });
  refuse("/dev/full", {2, 3}, {"/dev/full"}, "/dev/full");
  refuse("in /dev/null", {1, 3}, {"/dev/null"}, "/dev/null/v.npy");
  refuse("in /proc", {1, 3}, {"/proc"}, "/proc/v.npy");
  refuse("in /sys", {1, 3}, {"/sys"}, "/sys/v.npy");
  refuse("a name of 300 bytes", {1, 3}, {"too long"}, std::string(300, 'n') + ".npy");
  refuse("a path of 5000 bytes", {1, 3}, {"too long"}, std::string(5000, '/') + std::string(5000, 'n') + ".npy");
  refuse("a link to itself", {1, 3}, {"x.npy"}, "x.npy", [](const Folder& f) { f.link("x.npy", "x.npy"); });
  const auto unwritable = [&](const std::string& what, const Words& command) {
    cases.push_back({"output not writable: " + what, {1, 3}, {"d"}, command, [](const Folder& f) {
                       f.folder("d");
                       ::chmod((f / "d").c_str(), 0555);
                     }});
    cases.back().around.unprivileged = true;
  };
  unwritable("video", generate({"--output", "d/v.mp4"}));
  unwritable("pictures", generate({"--output", "d/%d.png"}));
  unwritable("a folder in it", generate({"--output", "d/e/v.npy"}));
  unwritable("latents", {"encode", "--model", "model", "--input", "made/v.mp4", "--output", "d/l.safetensors"});
  unwritable("embeddings", {"encode-text", "--model", "model", "--prompt", "a", "--output", "d/l.safetensors"});
  unwritable("a model", {"init", "--preset", "tiny", "--output", "d/m"});
  for (const char* name : {"l.npy", "l", "l.bin", "l.safetensors.txt"}) {
    cases.push_back({std::string("latents called ") + name, {2}, {name, ".safetensors"}, generate({"--output", "v.npy", "--save-latents", name})});
    cases.push_back({std::string("encode to ") + name, {2}, {name, ".safetensors"}, {"encode", "--model", "model", "--input", "made/v.mp4", "--output", name}});
    cases.push_back({std::string("encode-text to ") + name, {2}, {name, ".safetensors"}, {"encode-text", "--model", "model", "--prompt", "a", "--output", name}});
  }
  cases.push_back({"latents: a folder in their place", {2, 3}, {"l.safetensors"}, generate({"--output", "v.npy", "--save-latents", "l.safetensors"}), [](const Folder& f) { f.folder("l.safetensors"); }});
  cases.push_back({"contact sheet: a folder in its place", {2, 3}, {"v_contact_sheet.png"}, generate({"--output", "v.npy"}), [](const Folder& f) { f.folder("v_contact_sheet.png"); }});
  cases.push_back({"side-car: a folder in its place", {2, 3}, {"v.npy.json"}, generate({"--output", "v.npy"}), [](const Folder& f) { f.folder("v.npy.json"); }});
  cases.push_back({"init: a file in its place", {2, 3}, {"x"}, {"init", "--preset", "tiny", "--output", "x"}, put("x", "x")});
  cases.push_back({"output of a failed run, in folders that are not there", {3}, {"none.npy"}, generate({"--output", "a/b/c/v.npy", "--init-video", "none.npy"})});
  cases.push_back({"an old file stays", {3}, {"none.npy"}, generate({"--output", "v.npy", "--init-video", "none.npy"}), put("v.npy", "old")});
  const auto accept = [&](const std::string& name) {
    cases.push_back({"output valid: " + name, {0}, {}, generate({"--output", name, "--num-frames", "1"})});
    cases.back().may_write = true;
  };
  for (const char* name : {"v.mp4", "V.MP4", "v.webm", "v.gif", "v.apng", "v.avi", "v.png", "f_%05d.png", "%d.png", "%03d.png", "new/folder/v.npy", "v.safetensors", "ein Film 漢🎬.npy", "-v.npy", "a.b.c.npy", "./v.npy", "x=y.npy", "a\nb.npy"})
    accept(name);
}

}  // namespace

void add_media(Cases& cases) {
  add_pictures(cases);
  add_clips(cases);
  add_latents(cases);
  add_outputs(cases);
}

}  // namespace bad_input
