// kinema/io/apng.hpp - animated PNG: every frame losslessly, in a file that any PNG reader shows the first frame of.
//
// A PNG file whose further pictures are in chunks that older readers skip. Format: PNG specification (third edition), 11.3.6.
#pragma once

#include <kinema/io/frame_sink.hpp>

#include <optional>

namespace kinema::inline KINEMA_ABI::io {

namespace detail {

/// Whether a PNG file announces an animation before its first picture. Damaged ones do not: the reader of pictures says why.
inline bool is_animated_png(std::span<const unsigned char> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!is_png(text)) return false;
  for (std::size_t at = 8; file.size() - at >= 12;) {
    const std::string_view kind = text.substr(at + 4, 4);
    if (kind == "acTL" || kind == "IDAT") return kind == "acTL";
    const std::uint64_t length = big_endian_32(&file[at]);
    if (length > file.size() - at - 12) return false;
    at += 12 + length;
  }
  return false;
}

}  // namespace detail

/// Frame by frame; plays for ever. The file appears in finish().
class ApngWriter {
 public:
  /// Throws ArgumentError for sizes or rates that do not fit.
  ApngWriter(const std::filesystem::path& path, std::int64_t width, std::int64_t height, double frames_per_second, const Tags& tags = {})
      : path_(path), size_{height, width, 3}, rate_(frames_per_second, 65535, shown(path)), texts_(detail::png_text_chunks(tags)) {}

  /// u8 [H, W, 3] on the host, any strides.
  void add(const Tensor<>& frame) {
    if (frame.dtype() != DType::u8 || !(frame.shape() == size_))
      throw ShapeError(cat(shown(path_), ": frames are u8", size_, ", got ", to_string(frame)));
    const std::string png = png_bytes(frame);
    std::string out;
    if (!file_) {
      file_.emplace(path_);
      out = png.substr(0, detail::png_head) + texts_;
      animation_at_ = out.size();
      append_animation(out);
    }
    append_control(out);
    detail::for_each_png_chunk({reinterpret_cast<const unsigned char*>(png.data()), png.size()}, "apng",
                               [&](std::string_view kind, std::span<const unsigned char> body, std::size_t) {
                                 if (kind != "IDAT") return;
                                 const std::string_view data(reinterpret_cast<const char*>(body.data()), body.size());
                                 if (count_ == 0) return detail::append_png_chunk(out, "IDAT", data);
                                 std::string numbered;
                                 detail::append_big_endian_32(numbered, sequence_++);
                                 detail::append_png_chunk(out, "fdAT", numbered.append(data));
                               });
    file_->write(out);
    ++count_;
  }
  /// Throws ArgumentError if there is no frame.
  void finish() {
    if (count_ == 0) throw ArgumentError(cat(shown(path_), ": an animation needs at least one frame"));
    std::string out;
    detail::append_png_chunk(out, "IEND", "");
    file_->write(out);
    out.clear();
    append_animation(out);
    file_->write_at(animation_at_, out.data(), out.size());
    file_->commit();
  }

 private:
  void append_animation(std::string& out) const {
    std::string body;
    detail::append_big_endian_32(body, count_);
    detail::append_big_endian_32(body, 0);  // plays: for ever
    detail::append_png_chunk(out, "acTL", body);
  }
  void append_control(std::string& out) {
    std::string body;
    for (const std::uint64_t v : {std::uint64_t{sequence_++}, static_cast<std::uint64_t>(size_[1]), static_cast<std::uint64_t>(size_[0]), std::uint64_t{0},
                                  std::uint64_t{0}, rate_.seconds << 16 | rate_.frames})
      detail::append_big_endian_32(body, static_cast<std::uint32_t>(v));
    body.append(2, '\0');  // the next frame replaces this one
    detail::append_png_chunk(out, "fcTL", body);
  }

  std::filesystem::path path_;
  Shape size_;
  detail::FrameRate rate_;
  std::string texts_;
  std::optional<FileWriter> file_;
  std::size_t animation_at_ = 0;
  std::uint32_t count_ = 0, sequence_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI::io
