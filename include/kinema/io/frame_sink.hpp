// kinema/io/frame_sink.hpp - what takes the frames of a clip, and the sinks for arrays and picture sequences.
#pragma once

#include <kinema/io/image.hpp>
#include <kinema/io/npy.hpp>
#include <kinema/io/pixels.hpp>
#include <kinema/tensor/slice.hpp>

#include <memory>

namespace kinema::inline KINEMA_ABI::io {

/// Takes the frames of a clip one after the other.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// One frame [H, W, 3] or several [F, H, W, 3], u8 or floating in [0, 1] (clamped), on the host, any strides. All of one
  /// size. Throws NonFiniteError for NaN, IoError if it cannot be written.
  void add(const Tensor<>& frames) {
    detail::expect_frames(name(), frames);
    if (frames.rank() == 3) return add_one(frames);
    for (std::int64_t f = 0; f < frames.size(0); ++f) add_one(select(frames, 0, f));
  }
  /// Everything is on the disk under its name. Throws ArgumentError if there was no frame.
  void finish() {
    if (count_ == 0) throw ArgumentError(cat(name(), ": a clip needs at least one frame"));
    close();
  }
  std::int64_t frames() const { return count_; }
  /// What was asked for, and after finish() the files that were written.
  std::string name() const { return shown(path_); }
  const std::vector<std::filesystem::path>& files() const { return files_; }

 protected:
  explicit FrameSink(std::filesystem::path path) : path_(std::move(path)) {}
  virtual void write(const Tensor<>& frame, const std::string& where) = 0;
  virtual void close() = 0;

  std::filesystem::path path_;
  std::vector<std::filesystem::path> files_;
  std::int64_t count_ = 0;

 private:
  void add_one(const Tensor<>& frame) {
    if (count_ == 0) size_ = frame.shape();
    if (!(frame.shape() == size_))
      throw ShapeError(cat(name(), ": frame ", count_, " is ", frame.shape(), ", the frames before are ", size_));
    write(frame, cat(name(), ": frame ", count_));
    ++count_;
  }
  Shape size_;
};

namespace detail {

class NpySink : public FrameSink {
 public:
  explicit NpySink(const std::filesystem::path& path) : FrameSink(path) {}

 private:
  void write(const Tensor<>& frame, const std::string& where) override {
    if (!array_) array_ = std::make_unique<NpyWriter>(path_, DType::f32, frame.shape());
    array_->add(picture_to_f32(frame, where));
  }
  void close() override {
    array_->finish();
    files_ = {path_};
  }
  std::unique_ptr<NpyWriter> array_;
};

/// One tensor `frames`, f32 [F, H, W, 3]; the header is written last, into a space of fixed size.
class SafetensorsSink : public FrameSink {
 public:
  explicit SafetensorsSink(const std::filesystem::path& path, const Tags& tags = {}) : FrameSink(path), tags_(tags) {
    check_tags(tags);
    header_bytes_ = (json(INT64_MAX, {INT64_MAX, INT64_MAX, 3}, INT64_MAX).size() + 15) / 8 * 8;
  }

 private:

  void write(const Tensor<>& frame, const std::string& where) override {
    if (!file_) {
      file_ = std::make_unique<FileWriter>(path_);
      file_->write(std::string(header_bytes_, ' '));
      shape_ = frame.shape();
    }
    const Tensor<> t = picture_to_f32(frame, where);
    file_->write(t.ref().data, t.bytes());
  }
  void close() override {
    const std::uint64_t length = header_bytes_ - 8;
    std::string header;
    for (int shift = 0; shift < 64; shift += 8) header += static_cast<char>(length >> shift & 255);
    header += json(count_, shape_, static_cast<std::int64_t>(file_->position() - header_bytes_));
    header.resize(header_bytes_, ' ');
    file_->write_at(0, header.data(), header.size());
    file_->commit();
    files_ = {path_};
  }
  std::string json(std::int64_t frames, const Shape& shape, std::int64_t bytes) const {
    JsonWriter out(false);
    out.begin_object().key("__metadata__").begin_object().field("format", "pt");
    for (const auto& [name, text] : tags_)
      if (name != "format") out.field(name, text);
    out.end().key("frames").begin_object();
    out.field("dtype", "F32").field("shape", std::vector<std::int64_t>{frames, shape[0], shape[1], 3});
    return out.field("data_offsets", std::vector<std::int64_t>{0, bytes}).end().end().text();
  }
  Tags tags_;
  std::size_t header_bytes_ = 0;
  std::unique_ptr<FileWriter> file_;
  Shape shape_;
};

/// A frame rate as a fraction of whole numbers up to `largest`: the best by continued fractions.
struct FrameRate {
  std::uint64_t frames = 0, seconds = 1;

  FrameRate(double per_second, std::uint64_t largest, std::string_view where) {
    if (!(per_second > 0 && per_second <= 1000))
      throw ArgumentError(cat(where, ": frames per second must be above 0 and at most 1000, got ", per_second));
    std::uint64_t before_n = 0, before_d = 1, n = 1, d = 0;
    for (double rest = per_second; rest <= static_cast<double>(largest);) {
      const auto whole = static_cast<std::uint64_t>(rest);
      if (n > largest || whole * n + before_n > largest || whole * d + before_d > largest) break;
      before_n = std::exchange(n, whole * n + before_n);
      before_d = std::exchange(d, whole * d + before_d);
      if (rest - static_cast<double>(whole) < 1e-9) break;
      rest = 1 / (rest - static_cast<double>(whole));
    }
    if (d == 0 || n == 0) n = 1, d = largest;  // slower than one frame in `largest` seconds
    frames = n;
    seconds = d;
  }
};

/// "frame_%05d.png" split at its number; without one, "_%05d" is put before the extension if there are several frames.
struct PngPattern {
  std::filesystem::path folder;
  std::string before, after;
  int width = 0;
  bool numbered = false;

  explicit PngPattern(const std::filesystem::path& path) : folder(path.parent_path()) {
    const std::string name = path.filename().native();
    const auto fail = [&] {
      throw ArgumentError(
          cat(shown(path), ": a picture pattern may hold one %d or %0Nd (N from 1 to 9) and no other %"));
    };
    const std::size_t percent = name.find('%');
    if (percent == std::string::npos) {
      before = name.substr(0, name.size() - path.extension().native().size());
      after = path.extension().native();
      return;
    }
    numbered = true;
    std::size_t at = percent + 1;
    if (at + 1 < name.size() && name[at] == '0' && name[at + 1] >= '1' && name[at + 1] <= '9') {
      width = name[at + 1] - '0';
      at += 2;
    }
    if (at >= name.size() || name[at] != 'd') fail();
    before = name.substr(0, percent);
    after = name.substr(at + 1);
    if (after.find('%') != std::string::npos) fail();
  }
  std::filesystem::path name(std::int64_t i, std::int64_t count) const {
    if (!numbered && count == 1) return folder / (before + after);
    std::string number = std::to_string(i);
    const std::size_t digits = static_cast<std::size_t>(numbered ? width : 5);
    if (number.size() < digits) number.insert(0, digits - number.size(), '0');
    return folder / cat(before, numbered ? "" : "_", number, after);
  }
};

class PngSink : public FrameSink {
 public:
  explicit PngSink(const std::filesystem::path& path, const Tags& tags = {}) : FrameSink(path), pattern_(path), tags_(tags) {
    check_tags(tags);
  }

 private:
  void write(const Tensor<>& frame, const std::string& where) override {
    group_.add(pattern_.name(count_, 2)).write(png_bytes(picture_to_u8(frame, where), tags_));
  }
  void close() override {
    std::vector<std::filesystem::path> names;
    for (std::int64_t i = 0; i < count_; ++i) names.push_back(pattern_.name(i, count_));
    group_.commit(names);
    files_ = std::move(names);
  }
  PngPattern pattern_;
  Tags tags_;
  FileGroup group_;
};

}  // namespace detail

}  // namespace kinema::inline KINEMA_ABI::io
