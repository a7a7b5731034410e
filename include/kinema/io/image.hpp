// kinema/io/image.hpp - PNG and JPEG pictures as u8 RGB, texts in PNG, and Pillow's Lanczos resize; the adapter of stb_image.
//
// stb shows what it could read of a damaged file as if it were whole. So before it sees a byte, the container is walked
// here: sizes against the limits, every PNG chunk with its checksum up to IEND, every JPEG marker up to EOI. The content
// decides the format, never the file name. Alpha is dropped, not blended, and orientation tags are applied: both as
// diffusers' load_image does.
#pragma once

#include <kinema/io/elements.hpp>
#include <kinema/io/orientation.hpp>
#include <kinema/io/tags.hpp>

#if !defined(KINEMA_WITH_STB) || !KINEMA_WITH_STB
#error "kinema: io/image.hpp needs stb; compile with KINEMA_WITH_STB=1 (link kinema::image)"
#endif

// Everything that stb includes, so that its own includes are empty inside our namespace.
#include <array>
#include <climits>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace kinema::inline KINEMA_ABI::io {

inline constexpr std::int64_t max_image_side = 16384;  ///< pixels
inline constexpr std::int64_t max_image_pixels = std::int64_t{1} << 26;  ///< of one picture

namespace detail {

/// What stb allocates for one picture: no block above `limit`, which ends a decompression bomb, and nothing outlives it,
/// so that exceptions may leave stb's functions.
class StbMemory {
 public:
  explicit StbMemory(std::size_t limit) : limit_(limit), outer_(std::exchange(current(), this)) { list_.next = list_.before = &list_; }
  StbMemory(const StbMemory&) = delete;
  StbMemory& operator=(const StbMemory&) = delete;
  ~StbMemory() {
    while (list_.next != &list_) release(list_.next + 1);
    current() = outer_;
  }
  static void* allocate(std::size_t bytes) { return bytes > current()->limit_ ? nullptr : current()->link(std::malloc(sizeof(Block) + bytes)); }
  /// For the writer, which does not check.
  static void* allocate_or_throw(std::size_t bytes) {
    void* p = allocate(bytes);
    return p != nullptr ? p : throw MemoryError(cat("picture: no memory for ", bytes, " bytes"));
  }
  static void* reallocate(void* p, std::size_t bytes) {
    if (p == nullptr) return allocate(bytes);
    if (bytes > current()->limit_) return nullptr;
    Block* b = static_cast<Block*>(p) - 1;
    b->unlink();
    void* moved = std::realloc(b, sizeof(Block) + bytes);
    void* now = current()->link(moved != nullptr ? moved : b);
    return moved != nullptr ? now : nullptr;
  }
  static void* reallocate_or_throw(void* p, std::size_t bytes) {
    void* moved = reallocate(p, bytes);
    return moved != nullptr ? moved : throw MemoryError(cat("picture: no memory for ", bytes, " bytes"));
  }
  static void release(void* p) {
    if (p == nullptr) return;
    Block* b = static_cast<Block*>(p) - 1;
    b->unlink();
    std::free(b);
  }

 private:
  struct alignas(std::max_align_t) Block {
    Block *next, *before;
    void unlink() const { next->before = before, before->next = next; }
  };
  static StbMemory*& current() {
    thread_local StbMemory* memory = nullptr;
    return memory;
  }
  void* link(void* memory) {
    if (memory == nullptr) return nullptr;
    Block* b = new (memory) Block{list_.next, &list_};
    list_.next = list_.next->before = b;
    return b + 1;
  }
  std::size_t limit_;
  StbMemory* outer_;
  Block list_;
};

[[noreturn]] inline void stb_assertion() { throw IoError("picture: malformed (an assumption of the decoder failed)"); }

/// A private copy in every translation unit: it cannot clash with a program's own stb.
namespace stb {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wextra"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(n) ::kinema::io::detail::StbMemory::allocate(n)
#define STBI_REALLOC(p, n) ::kinema::io::detail::StbMemory::reallocate(p, n)
#define STBI_FREE(p) ::kinema::io::detail::StbMemory::release(p)
#define STBI_ASSERT(x) ((x) ? void() : ::kinema::io::detail::stb_assertion())
#define STBIW_MALLOC(n) ::kinema::io::detail::StbMemory::allocate_or_throw(n)
#define STBIW_REALLOC(p, n) ::kinema::io::detail::StbMemory::reallocate_or_throw(p, n)
#define STBIW_FREE(p) ::kinema::io::detail::StbMemory::release(p)
#define STBIW_ASSERT(x) ((x) ? void() : ::kinema::io::detail::stb_assertion())
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_image.h>
#include <stb_image_write.h>
#endif
// A program that includes stb after us gets its own.
#undef STB_IMAGE_IMPLEMENTATION
#undef STB_IMAGE_STATIC
#undef STB_IMAGE_WRITE_IMPLEMENTATION
#undef STB_IMAGE_WRITE_STATIC
#undef STBI_NO_STDIO
#undef STBI_WRITE_NO_STDIO
#undef STBI_ONLY_PNG
#undef STBI_ONLY_JPEG
#undef STBI_NO_LINEAR
#undef STBI_NO_HDR
#undef STBI_MAX_DIMENSIONS
#undef STBI_MALLOC
#undef STBI_REALLOC
#undef STBI_REALLOC_SIZED
#undef STBI_FREE
#undef STBI_ASSERT
#undef STBIW_MALLOC
#undef STBIW_REALLOC
#undef STBIW_REALLOC_SIZED
#undef STBIW_FREE
#undef STBIW_ASSERT
#undef STBIDEF
#undef STBIWDEF
#undef STBI_INCLUDE_STB_IMAGE_H
#undef INCLUDE_STB_IMAGE_WRITE_H
#pragma GCC diagnostic pop
}  // namespace stb

/// What the walk over a picture's container found.
struct PictureFacts {
  std::uint64_t width = 0, height = 0;
  std::size_t palette_at = 0, palette_bytes = 0;  ///< of a PNG's PLTE; 0: none
  std::span<const unsigned char> exif;  // the TIFF block, if there is one
};

inline std::uint32_t big_endian_32(const unsigned char* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

inline std::uint32_t png_checksum(std::span<const unsigned char> bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t c = n;
      for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xedb88320u ^ (c >> 1) : c >> 1;
      t[n] = c;
    }
    return t;
  }();
  std::uint32_t c = 0xffffffffu;
  for (const unsigned char b : bytes) c = table[(c ^ b) & 255] ^ (c >> 8);
  return ~c;
}

/// f(kind, body, where it begins) for all chunks from IHDR to IEND, checksums checked. Bytes after IEND are ignored.
template <class F>
void for_each_png_chunk(std::span<const unsigned char> file, std::string_view where, const F& f) {
  const auto fail = [&](std::size_t at, const std::string& what) -> void {
    throw IoError(cat(where, ": PNG: ", what, " at byte ", at));
  };
  for (std::size_t at = 8;;) {
    const std::size_t left = file.size() - at;
    if (left < 12) fail(at, cat("is truncated: a chunk needs 12 bytes, ", left, " are left"));
    const std::uint64_t length = big_endian_32(&file[at]);
    const std::string_view kind(reinterpret_cast<const char*>(&file[at + 4]), 4);
    if (length > left - 12)
      fail(at, cat("is truncated: chunk ", printable(kind), " has ", length, " bytes, ", left - 12, " are left"));
    if (png_checksum(file.subspan(at + 4, length + 4)) != big_endian_32(&file[at + 8 + length]))
      fail(at, cat("checksum of chunk ", printable(kind), " is wrong"));
    if ((at == 8) != (kind == "IHDR")) fail(at, at == 8 ? "must begin with IHDR" : "has a second IHDR");
    if (kind == "IHDR" && length != 13) fail(at, cat("IHDR must have 13 bytes, has ", length));
    f(kind, file.subspan(at + 8, length), at);
    at += 12 + length;
    if (kind == "IEND") return;
  }
}

inline PictureFacts walk_png(std::span<const unsigned char> file, std::string_view where) {
  PictureFacts facts;
  bool has_data = false;
  for_each_png_chunk(file, where, [&](std::string_view kind, std::span<const unsigned char> body, std::size_t at) {
    const auto fail = [&](std::string_view what) { throw IoError(cat(where, ": PNG: ", what, " at byte ", at)); };
    if (kind == "IHDR") {
      facts.width = big_endian_32(&body[0]);
      facts.height = big_endian_32(&body[4]);
    }
    if (kind == "PLTE" && facts.palette_at == 0) facts.palette_at = at, facts.palette_bytes = body.size();
    if (kind == "CgBI") fail("is of Apple's private variant");
    has_data = has_data || kind == "IDAT";
    if (kind == "eXIf") facts.exif = body;
    if (kind == "IEND" && !has_data) fail("has no picture data (IDAT)");
  });
  return facts;
}

inline void append_png_chunk(std::string& out, std::string_view kind, std::string_view body);

/// The file with a palette of all 256 colours, the missing ones black: stb looks colours up wherever an index says.
inline std::string with_whole_palette(std::span<const unsigned char> file, const PictureFacts& facts) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  std::string colours(text.substr(facts.palette_at + 8, facts.palette_bytes));
  colours.resize(768, '\0');
  std::string out(text.substr(0, facts.palette_at));
  append_png_chunk(out, "PLTE", colours);
  return out.append(text.substr(facts.palette_at + 12 + facts.palette_bytes));
}

inline void append_big_endian_32(std::string& out, std::uint64_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(v >> shift & 255);
}

inline void append_png_chunk(std::string& out, std::string_view kind, std::string_view body) {
  append_big_endian_32(out, body.size());
  const std::size_t begin = out.size();
  out.append(kind).append(body);
  append_big_endian_32(out, png_checksum({reinterpret_cast<const unsigned char*>(out.data()) + begin, out.size() - begin}));
}

/// tEXt where the text is ASCII, which every program reads, else iTXt. Source: PNG specification, 11.3.4.
inline std::string png_text_chunks(const Tags& tags) {
  check_tags(tags);
  std::string out;
  for (const auto& [name, text] : tags) {
    const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c >= 0x20 && c < 0x7F) || c == '\n'; });
    append_png_chunk(out, ascii ? "tEXt" : "iTXt", cat(name, '\0', ascii ? std::string_view() : std::string_view("\0\0\0\0", 4), text));
  }
  return out;
}

/// The inflated bytes of a zlib stream, at most `limit`. Throws IoError.
inline std::string inflated(std::string_view data, std::size_t limit, std::string_view where) {
  const StbMemory memory(limit);
  int size = 0;
  const char* bytes = stb::stbi_zlib_decode_malloc_guesssize_headerflag(data.data(), static_cast<int>(data.size()), 4096, &size, 1);
  if (bytes == nullptr) throw IoError(cat(where, ": malformed compressed text, or more than ", limit, " bytes of it"));
  return {bytes, static_cast<std::size_t>(size)};
}

/// Latin-1 as UTF-8.
inline std::string from_latin_1(std::string_view s) {
  std::string out;
  for (const char c : s) {
    const auto b = static_cast<unsigned char>(c);
    if (b < 0x80) out += c;
    else (out += static_cast<char>(0xC0 | b >> 6)) += static_cast<char>(0x80 | (b & 0x3F));
  }
  return out;
}

/// The texts of a PNG file: tEXt, zTXt and iTXt. Throws IoError for malformed ones.
inline Tags png_tags(std::span<const unsigned char> file, std::string_view where) {
  Tags tags;
  std::size_t total = 0;
  for_each_png_chunk(file, where, [&](std::string_view kind, std::span<const unsigned char> body, std::size_t at) {
    if (kind != "tEXt" && kind != "zTXt" && kind != "iTXt") return;
    const std::string place = cat(where, ": PNG: chunk ", kind, " at byte ", at);
    std::string_view rest(reinterpret_cast<const char*>(body.data()), body.size());
    const auto next = [&] {  // up to the NUL
      const std::size_t end = rest.find('\0');
      if (end == std::string_view::npos) throw IoError(cat(place, ": a part of the text does not end"));
      const std::string_view part = rest.substr(0, end);
      rest.remove_prefix(end + 1);
      return part;
    };
    const std::string name = from_latin_1(next());
    bool compressed = kind == "zTXt";
    if (kind != "tEXt") {
      const std::size_t flags = kind == "zTXt" ? 1 : 2;  // method; or whether it is compressed, and the method
      if (rest.size() < flags || rest[flags - 1] != '\0') throw IoError(cat(place, ": unknown compression"));
      compressed = compressed || rest[0] != '\0';
      rest.remove_prefix(flags);
    }
    if (kind == "iTXt") next(), next();  // language, translated name
    std::string text = compressed ? inflated(rest, max_tag_bytes, place) : std::string(rest);
    if (kind != "iTXt") text = from_latin_1(text);
    if (first_invalid_utf8(text) != std::string_view::npos) throw IoError(cat(place, ": the text is not UTF-8"));
    total += text.size();
    if (total > max_tag_bytes) throw IoError(cat(place, ": more than ", max_tag_bytes, " bytes of text"));
    tags.emplace_back(name, std::move(text));
  });
  return tags;
}

/// Whether the tables of a DHT segment fill it exactly, with at most 256 codes each: stb_image trusts the counts and would
/// write behind its table.
inline bool huffman_tables_are_sane(std::span<const unsigned char> body) {
  while (!body.empty()) {
    if (body.size() < 17) return false;
    std::size_t codes = 0;
    for (std::size_t i = 1; i <= 16; ++i) codes += body[i];
    if (codes > 256 || codes > body.size() - 17) return false;
    body = body.subspan(17 + codes);
  }
  return true;
}

/// All markers from SOI to EOI, scans included.
inline PictureFacts walk_jpeg(std::span<const unsigned char> file, std::string_view where) {
  const auto fail = [&](std::size_t at, std::string_view what) -> void {
    throw IoError(cat(where, ": JPEG: ", what, " at byte ", at));
  };
  constexpr std::string_view exif_mark("Exif\0\0", 6);
  PictureFacts facts;
  std::size_t at = 2;
  bool has_frame = false, has_scan = false;
  for (;;) {
    if (at >= file.size()) fail(at, "is truncated: the end marker (EOI) is missing");
    if (file[at] != 0xFF) fail(at, "expected a marker");
    while (at < file.size() && file[at] == 0xFF) ++at;
    if (at >= file.size()) fail(at, "is truncated in a marker");
    const unsigned marker = file[at++];
    if (marker == 0xD9) break;
    if (marker == 0xD8 || marker == 0x00) fail(at, "unexpected marker");
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) continue;
    if (file.size() - at < 2) fail(at, "is truncated in a marker's length");
    const std::size_t length = std::size_t{file[at]} << 8 | file[at + 1];
    if (length < 2) fail(at, "a marker's length is below 2");
    if (length > file.size() - at)
      fail(at, cat("is truncated: a marker has ", length, " bytes, ", file.size() - at, " are left"));
    const auto body = file.subspan(at + 2, length - 2);
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      if (has_frame) fail(at, "has a second frame header");
      if (body.size() < 6) fail(at, "frame header is too short");
      if (marker > 0xC2) fail(at, "compression process is not supported (baseline and progressive are)");
      facts.height = std::uint64_t{body[1]} << 8 | body[2];
      facts.width = std::uint64_t{body[3]} << 8 | body[4];
      has_frame = true;
    }
    if (marker == 0xC4 && !huffman_tables_are_sane(body)) fail(at, "malformed Huffman tables");
    if (marker == 0xE1 && facts.exif.empty() && body.size() > exif_mark.size() &&
        std::memcmp(body.data(), exif_mark.data(), exif_mark.size()) == 0)
      facts.exif = body.subspan(exif_mark.size());
    at += length;
    if (marker != 0xDA) continue;
    has_scan = true;  // entropy-coded bytes up to the next marker that is neither stuffing nor a restart
    while (at + 1 < file.size() &&
           !(file[at] == 0xFF && file[at + 1] != 0 && !(file[at + 1] >= 0xD0 && file[at + 1] <= 0xD7)))
      ++at;
    if (at + 1 >= file.size()) fail(file.size(), "is truncated: the end marker (EOI) is missing");
  }
  if (!has_frame || !has_scan) fail(at, "has no picture");
  return facts;
}

inline bool is_png(std::string_view head) { return head.starts_with("\x89PNG\r\n\x1a\n"); }
inline bool is_jpeg(std::string_view head) { return head.starts_with("\xFF\xD8\xFF"); }

/// Pillow's taps of one axis: for each output its first input and its fixed-point weights.
struct LanczosTaps {
  static constexpr int bits = 22;  // Pillow's PRECISION_BITS: 32 - 8 - 2
  std::vector<std::int64_t> first, count;
  std::vector<std::int32_t> weight;  // `stride` per output
  std::int64_t stride = 0;

  LanczosTaps(std::int64_t in, std::int64_t out)
      : first(static_cast<std::size_t>(out)), count(static_cast<std::size_t>(out)) {
    const double scale = static_cast<double>(in) / static_cast<double>(out), filter = std::max(scale, 1.0),
                 support = 3.0 * filter;
    const double inverse = 1.0 / filter;
    stride = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
    weight.resize(static_cast<std::size_t>(out * stride));
    std::vector<double> w(static_cast<std::size_t>(stride));
    for (std::int64_t i = 0; i < out; ++i) {
      // volatile: a compiler that fuses a product into the next sum would round once where Pillow rounds twice.
      const volatile double centre = (static_cast<double>(i) + 0.5) * scale;
      const auto low = std::max<std::int64_t>(static_cast<std::int64_t>(centre - support + 0.5), 0);
      const auto high = std::min<std::int64_t>(static_cast<std::int64_t>(centre + support + 0.5), in);
      double sum = 0;
      for (std::int64_t k = low; k < high; ++k) {
        const volatile double v = lanczos((static_cast<double>(k) - centre + 0.5) * inverse);
        sum += v;
        w[static_cast<std::size_t>(k - low)] = v;
      }
      first[static_cast<std::size_t>(i)] = low;
      count[static_cast<std::size_t>(i)] = high - low;
      for (std::int64_t k = 0; k < high - low; ++k) {
        const double v = (sum != 0 ? w[static_cast<std::size_t>(k)] / sum : w[static_cast<std::size_t>(k)]) *
                         (1 << bits);
        weight[static_cast<std::size_t>(i * stride + k)] = static_cast<std::int32_t>(v < 0 ? v - 0.5 : v + 0.5);
      }
    }
  }
  static double sinc(double x) {
    if (x == 0) return 1;
    const volatile double a = x * 3.14159265358979323846;
    return std::sin(a) / a;
  }
  static double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }
};

/// One pass: `lines` lines of `taps` outputs; steps are in bytes.
inline void lanczos_pass(const LanczosTaps& taps, const std::uint8_t* from, std::int64_t from_line,
                         std::int64_t from_step, std::uint8_t* to, std::int64_t to_line, std::int64_t to_step,
                         std::int64_t lines) {
  const auto outputs = static_cast<std::int64_t>(taps.first.size());
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t i = 0; i < outputs; ++i) {
      const std::uint8_t* in = from + line * from_line + taps.first[static_cast<std::size_t>(i)] * from_step;
      const std::int32_t* w = taps.weight.data() + i * taps.stride;
      std::int64_t sum[3] = {1 << (LanczosTaps::bits - 1), 1 << (LanczosTaps::bits - 1), 1 << (LanczosTaps::bits - 1)};
      for (std::int64_t k = 0; k < taps.count[static_cast<std::size_t>(i)]; ++k, in += from_step)
        for (int c = 0; c < 3; ++c) sum[c] += std::int64_t{w[k]} * in[c];
      for (int c = 0; c < 3; ++c)
        to[line * to_line + i * to_step + c] = static_cast<std::uint8_t>(
            std::clamp<std::int64_t>(sum[c] >> LanczosTaps::bits, 0, 255));
    }
  }
}

inline void expect_picture(std::string_view where, const Tensor<>& image) {
  if (!image || image.dtype() != DType::u8 || image.rank() != 3 || image.size(2) != 3)
    throw ShapeError(cat(where, ": must be u8[H, W, 3], got ", to_string(image)));
}

}  // namespace detail

/// A picture from the bytes of a PNG or JPEG file: u8 [H, W, 3], upright, alpha dropped. Throws IoError.
inline Tensor<> parse_image(std::span<const unsigned char> file, std::string_view name) {
  const std::string where = printable(name, 1024);
  const std::string_view head(reinterpret_cast<const char*>(file.data()), std::min<std::size_t>(file.size(), 512));
  if (file.empty()) throw IoError(cat(where, ": is empty, expected a PNG or JPEG picture"));
  if (!detail::is_png(head) && !detail::is_jpeg(head)) {
    const std::string_view other = head.starts_with("GIF8")   ? "GIF"
                                   : head.starts_with("RIFF") ? "WebP or another RIFF file"
                                   : head.starts_with("BM")   ? "BMP"
                                                              : detail::other_format(head);
    throw IoError(cat(where, ": must be a PNG or JPEG picture", other.empty() ? "" : ", is ", other));
  }
  const detail::PictureFacts facts = detail::is_png(head) ? detail::walk_png(file, where)
                                                          : detail::walk_jpeg(file, where);
  if (facts.width == 0 || facts.height == 0)
    throw IoError(cat(where, ": a picture of ", facts.width, "x", facts.height, " pixels"));
  if (facts.width > static_cast<std::uint64_t>(max_image_side) ||
      facts.height > static_cast<std::uint64_t>(max_image_side) ||
      facts.width * facts.height > static_cast<std::uint64_t>(max_image_pixels))
    throw IoError(cat(where, ": a picture of ", facts.width, "x", facts.height, " pixels; sides are limited to ",
                      max_image_side, ", pixels to ", max_image_pixels));
  if (file.size() > INT_MAX)
    throw IoError(cat(where, ": a picture file of ", file.size(), " bytes, at most ", INT_MAX, " are read"));

  // 16 bytes a pixel: RGBA of 16 bits, doubled because buffers grow by doubling.
  const detail::StbMemory memory(static_cast<std::size_t>(facts.width * facts.height) * 16 + (std::size_t{1} << 20));
  std::string repaired;
  if (facts.palette_bytes != 0 && facts.palette_bytes < 768 && facts.palette_bytes % 3 == 0) {
    repaired = detail::with_whole_palette(file, facts);
    file = {reinterpret_cast<const unsigned char*>(repaired.data()), repaired.size()};
  }
  int width = 0, height = 0, channels = 0;
  const unsigned char* pixels =
      detail::stb::stbi_load_from_memory(file.data(), static_cast<int>(file.size()), &width, &height, &channels, 3);
  if (pixels == nullptr)
    throw IoError(cat(where, ": malformed ", detail::is_png(head) ? "PNG" : "JPEG", ": ",
                      printable(detail::stb::stbi_failure_reason(), 100)));
  if (static_cast<std::uint64_t>(width) != facts.width || static_cast<std::uint64_t>(height) != facts.height)
    throw IoError(
        cat(where, ": decoded to ", width, "x", height, " pixels, its header says ", facts.width, "x", facts.height));
  Tensor<> image = empty({height, width, 3}, DType::u8);
  std::memcpy(image.ref().data, pixels, image.bytes());
  return detail::apply_orientation(image, detail::exif_orientation(facts.exif));
}
/// The picture in a file, as parse_image(); at most 1 GiB. Throws IoError.
inline Tensor<> read_image(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, std::uint64_t{1} << 30);
  return parse_image({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()}, path.native());
}

namespace detail {

/// Calls stb's `write(append, &out, width, height, packed pixels)` with a picture of any strides.
template <class F>
std::string encoded(std::string_view format, const Tensor<>& image, const F& write) {
  expect_picture(format, image);
  if (image.size(0) < 1 || image.size(1) < 1 || image.size(0) > max_image_side || image.size(1) > max_image_side)
    throw ArgumentError(cat(format, ": sides must be 1 to ", max_image_side, ", got ", image.size(1), "x", image.size(0)));
  std::string packed;
  packed.reserve(image.bytes());
  for_each_run(image, [&](const unsigned char* data, std::size_t bytes) { packed.append(reinterpret_cast<const char*>(data), bytes); });
  std::string out;
  const StbMemory memory(SIZE_MAX / 2);
  const auto append = [](void* to, void* data, int bytes) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(bytes));
  };
  if (write(append, &out, static_cast<int>(image.size(1)), static_cast<int>(image.size(0)), packed.data()) == 0)
    throw MemoryError(cat(format, ": no memory to compress a picture"));
  return out;
}

inline constexpr std::size_t png_head = 8 + 25;  ///< bytes before the second chunk: signature and IHDR

}  // namespace detail

/// The bytes of a PNG file. `image` is u8 [H, W, 3] on the host, any strides; `tags` become its texts.
inline std::string png_bytes(const Tensor<>& image, const Tags& tags = {}) {
  std::string out = detail::encoded("png", image, [](auto append, void* to, int w, int h, const char* pixels) {
    return detail::stb::stbi_write_png_to_func(append, to, w, h, 3, pixels, 3 * w);
  });
  return tags.empty() ? out : out.insert(detail::png_head, detail::png_text_chunks(tags));
}

/// The bytes of a JPEG file; quality 1 to 100. `image` as for png_bytes.
inline std::string jpeg_bytes(const Tensor<>& image, int quality = 95) {
  if (quality < 1 || quality > 100) throw ArgumentError(cat("jpeg: quality must be 1 to 100, got ", quality));
  return detail::encoded("jpeg", image, [&](auto append, void* to, int w, int h, const char* pixels) {
    return detail::stb::stbi_write_jpg_to_func(append, to, w, h, 3, pixels, quality);
  });
}

/// Writes a PNG file, atomically.
inline void write_png(const std::filesystem::path& path, const Tensor<>& image, const Tags& tags = {}) {
  write_file(path, png_bytes(image, tags));
}

/// Resizes u8 [H, W, 3] with a Lanczos filter of support 3; every byte equals Pillow's Image.resize(…, LANCZOS).
/// Two passes, each only where the size changes, rounded to 8 bits in between. Pillow 13 takes the vertical one first
/// where that makes the picture much lower; earlier versions never do.
/// Source: Pillow src/libImaging/Resample.c.
inline Tensor<> resize_lanczos(const Tensor<>& image, std::int64_t width, std::int64_t height) {
  detail::expect_picture("resize_lanczos", image);
  const std::int64_t h = image.size(0), w = image.size(1);
  if (width < 1 || height < 1 || width > max_image_side || height > max_image_side || h < 1 || w < 1)
    throw ArgumentError(
        cat("resize_lanczos: sides must be 1 to ", max_image_side, ", got ", w, "x", h, " to ", width, "x", height));
  if (!image.is_contiguous()) throw ShapeError(cat("resize_lanczos: must be contiguous, got ", to_string(image)));
  const auto across = [&](const Tensor<>& from) {
    if (width == w) return from;
    Tensor<> to = empty({from.size(0), width, 3}, DType::u8);
    detail::lanczos_pass({w, width}, from.data<std::uint8_t>(), 3 * w, 3, to.data<std::uint8_t>(), 3 * width, 3,
                         from.size(0));
    return to;
  };
  const auto down = [&](const Tensor<>& from) {
    if (height == h) return from;
    const std::int64_t columns = from.size(1);
    Tensor<> to = empty({height, columns, 3}, DType::u8);
    detail::lanczos_pass({h, height}, from.data<std::uint8_t>(), 3, 3 * columns, to.data<std::uint8_t>(), 3,
                         3 * columns, columns);
    return to;
  };
  const bool vertical_first = h > height && h - height > 2 * (w - width);
  return vertical_first ? across(down(image)) : down(across(image));
}

}  // namespace kinema::inline KINEMA_ABI::io
