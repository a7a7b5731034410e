// kinema/io/avi.hpp - AVI files of JPEG pictures: a video that every player opens, written without a video library.
//
// One video stream, 'MJPG', with the old index at the end, which limits a file to 2 GiB. Format: Microsoft, "AVI RIFF File Reference".
#pragma once

#include <kinema/io/frame_sink.hpp>
#include <kinema/io/riff.hpp>

#include <optional>

namespace kinema::inline KINEMA_ABI::io {

/// Frame by frame; JPEG of quality 95 without subsampled colours. The file appears in finish().
class AviWriter {
 public:
  static constexpr std::uint64_t largest_file = (std::uint64_t{1} << 31) - 1;

  /// Throws ArgumentError for rates that do not fit.
  AviWriter(const std::filesystem::path& path, std::int64_t width, std::int64_t height, double frames_per_second, const Tags& tags = {})
      : path_(path), size_{height, width, 3}, rate_(frames_per_second, 1'000'000, shown(path)) {
    detail::check_tags(tags);
    if (!tags.empty()) comment_ = detail::tags_to_comment(tags);
  }

  /// u8 [H, W, 3] on the host, any strides. Throws IoError if the file would exceed 2 GiB.
  void add(const Tensor<>& frame) {
    if (frame.dtype() != DType::u8 || !(frame.shape() == size_))
      throw ShapeError(cat(shown(path_), ": frames are u8", size_, ", got ", to_string(frame)));
    const std::string jpeg = jpeg_bytes(frame);
    if (!file_) {
      file_.emplace(path_);
      const std::string head = header();
      file_->write(head);
      movie_at_ = head.size() - 4;
    }
    const std::uint64_t after = file_->position() + 8 + jpeg.size() + 1 + 8 + 16 * (index_.size() + 1);
    if (after > largest_file) throw IoError(cat(shown(path_), ": an .avi file holds at most 2 GiB; frame ", index_.size(), " would exceed that, write .mp4"));
    index_.push_back({static_cast<std::uint32_t>(file_->position() - movie_at_), static_cast<std::uint32_t>(jpeg.size())});
    largest_frame_ = std::max(largest_frame_, jpeg.size());
    file_->write(detail::riff_chunk("00dc", jpeg));
  }
  /// Throws ArgumentError if there is no frame.
  void finish() {
    if (index_.empty()) throw ArgumentError(cat(shown(path_), ": a video needs at least one frame"));
    movie_end_ = file_->position();
    std::string index;
    for (const Entry& e : index_) {
      index += "00dc";
      for (const std::uint32_t v : {0x10u, e.at, e.bytes}) detail::append_little_endian(index, v, 4);  // 0x10: can be shown without the others
    }
    file_->write(detail::riff_chunk("idx1", index));
    const std::string head = header();
    file_->write_at(0, head.data(), head.size());
    file_->commit();
  }

 private:
  struct Entry { std::uint32_t at, bytes; };

  static std::string numbers(std::initializer_list<std::uint64_t> values) {
    std::string out;
    for (const std::uint64_t v : values) detail::append_little_endian(out, v, 4);
    return out;
  }

  /// All before the first frame, with what is known by now; always of the same length.
  std::string header() const {
    using detail::riff_chunk;
    const auto width = static_cast<std::uint64_t>(size_[1]), height = static_cast<std::uint64_t>(size_[0]);
    const std::uint64_t frames = index_.size(), microseconds = (1'000'000 * rate_.seconds + rate_.frames / 2) / rate_.frames;
    std::string format = numbers({40, width, height, 24u << 16 | 1u});  // BITMAPINFOHEADER: one plane of 24 bits
    format += "MJPG" + numbers({3 * width * height, 0, 0, 0, 0});
    std::string stream = "vidsMJPG" + numbers({0, 0, 0, rate_.seconds, rate_.frames, 0, frames, largest_frame_, 0xFFFFFFFF, 0});
    for (const std::uint64_t v : {std::uint64_t{0}, std::uint64_t{0}, width, height}) detail::append_little_endian(stream, v, 2);
    const std::string main = numbers({microseconds, 0, 0, 0x10, frames, 0, 1, largest_frame_, width, height, 0, 0, 0, 0});  // 0x10: has an index
    std::string lists = riff_chunk("LIST", "hdrl" + riff_chunk("avih", main) + riff_chunk("LIST", "strl" + riff_chunk("strh", stream) + riff_chunk("strf", format)));
    if (!comment_.empty()) lists += riff_chunk("LIST", "INFO" + riff_chunk("ICMT", comment_ + '\0'));
    const std::uint64_t begin = 12 + lists.size() + 8, movie = movie_end_ == 0 ? 4 : movie_end_ - begin;
    const std::uint64_t index_bytes = 8 + 16 * frames;
    return "RIFF" + numbers({begin - 8 + movie + index_bytes}) + "AVI " + lists + "LIST" + numbers({movie}) + "movi";
  }

  std::filesystem::path path_;
  Shape size_;
  detail::FrameRate rate_;
  std::string comment_;
  std::optional<FileWriter> file_;
  std::vector<Entry> index_;
  std::uint64_t movie_at_ = 0, movie_end_ = 0;  ///< where 'movi' stands, and where its chunks end
  std::size_t largest_frame_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI::io
