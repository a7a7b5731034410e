// kinema/io/frames.hpp - clips in and out by what the file is: videos, pictures, folders of pictures, arrays.
//
// In: the content decides. Out: the extension decides, .mp4 .png .npy .safetensors. Sinks take frames as they are ready,
// so memory does not depend on the length of the clip, and everything appears under its name only in finish().
#pragma once

#include <kinema/io/checkpoint.hpp>
#include <kinema/io/image.hpp>
#include <kinema/io/npy.hpp>
#include <kinema/io/pixels.hpp>
#include <kinema/io/video.hpp>
#include <kinema/tensor/slice.hpp>

namespace kinema::inline KINEMA_ABI::io {

inline constexpr std::int64_t max_clip_bytes = std::int64_t{32} << 30;

namespace detail {

/// Pictures of one size as one tensor. Each is freed as soon as it is copied.
inline Tensor<> stack(std::vector<Tensor<>>&& frames) {
  Shape shape{static_cast<std::int64_t>(frames.size())};
  for (const std::int64_t d : frames.front().shape()) shape.push_back(d);
  Tensor<> out = empty(shape, frames.front().dtype());
  auto* to = static_cast<unsigned char*>(out.ref().data);
  for (Tensor<>& f : frames) {
    std::memcpy(to, f.ref().data, f.bytes());
    to += f.bytes();
    f = {};
  }
  return out;
}

/// "frame2" before "frame10": runs of digits compare as numbers.
inline bool natural_less(std::string_view a, std::string_view b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      while (i < a.size() && a[i] == '0') ++i;
      while (j < b.size() && b[j] == '0') ++j;
      std::size_t m = i, n = j;
      while (m < a.size() && is_digit(a[m])) ++m;
      while (n < b.size() && is_digit(b[n])) ++n;
      if (m - i != n - j) return m - i < n - j;
      const int order = a.substr(i, m - i).compare(b.substr(j, n - j));
      if (order != 0) return order < 0;
      i = m;
      j = n;
    } else {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i;
      ++j;
    }
  }
  if ((i < a.size()) != (j < b.size())) return j < b.size();
  return a < b;  // equal up to leading zeros
}

inline std::string lower_extension(const std::filesystem::path& path) {
  std::string e = path.extension().native();
  for (char& c : e) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return e;
}

/// Pictures about a clip, which are no frames of it.
inline constexpr std::string_view contact_sheet_suffix = "_contact_sheet.png", preview_suffix = ".preview.png";

inline Tensor<> read_folder(const std::filesystem::path& folder, std::int64_t at_most) {
  std::vector<std::string> names;
  for (std::string& n : names_in_folder(folder)) {
    const std::string e = lower_extension(n);
    if (n[0] != '.' && (e == ".png" || e == ".jpg" || e == ".jpeg") && !n.ends_with(contact_sheet_suffix) && !n.ends_with(preview_suffix))
      names.push_back(std::move(n));
  }
  if (names.empty()) throw IoError(cat(shown(folder), ": has no frames (.png, .jpg or .jpeg)"));
  std::sort(names.begin(), names.end(), natural_less);
  std::vector<Tensor<>> frames;
  for (const std::string& n : names) {
    if (static_cast<std::int64_t>(frames.size()) == at_most) break;
    Tensor<> f = read_image(folder / n);
    if (!frames.empty() && !(f.shape() == frames.front().shape()))
      throw IoError(cat(shown(folder / n), ": is ", f.size(1), "x", f.size(0), " pixels, the frames before are ",
                        frames.front().size(1), "x", frames.front().size(0)));
    if (static_cast<std::int64_t>(f.bytes()) > max_clip_bytes / static_cast<std::int64_t>(frames.size() + 1))
      throw IoError(cat(shown(folder), ": more than ", max_clip_bytes, " bytes of frames"));
    frames.push_back(std::move(f));
  }
  return stack(std::move(frames));
}

inline Tensor<> read_video(const std::filesystem::path& path, std::int64_t at_most) {
  VideoLimits limits;
  limits.frames = std::max(limits.frames, at_most);
  VideoReader video(path, limits);
  std::vector<Tensor<>> frames;
  while (static_cast<std::int64_t>(frames.size()) < at_most) {
    Tensor<> f = video.next();
    if (!f) break;
    if (static_cast<std::int64_t>(f.bytes()) > max_clip_bytes / static_cast<std::int64_t>(frames.size() + 1))
      throw IoError(cat(shown(path), ": more than ", max_clip_bytes, " bytes of frames"));
    frames.push_back(std::move(f));
  }
  if (frames.empty()) throw IoError(cat(shown(path), ": the video has no frames"));
  return stack(std::move(frames));
}

/// Arrays: [F, H, W, 3] (or one frame, [H, W, 3]), u8 or f32 in [0, 1].
inline Tensor<> check_array(Tensor<> t, const std::filesystem::path& path, std::int64_t at_most) {
  if (t.rank() == 3) t = unsqueeze(t, 0);
  if (t.rank() != 4 || t.size(3) != 3 || t.numel() == 0 || (t.dtype() != DType::u8 && t.dtype() != DType::f32))
    throw IoError(cat(shown(path), ": frames must be f32 or u8 [F, H, W, 3], got ", to_string(t)));
  if (t.size(1) > max_image_side || t.size(2) > max_image_side)
    throw IoError(
        cat(shown(path), ": frames of ", t.size(2), "x", t.size(1), " pixels; sides are limited to ", max_image_side));
  if (t.size(0) > at_most) t = narrow(t, 0, 0, at_most);
  if (t.dtype() != DType::f32) return t;
  const float* v = t.data<float>();
  for (std::int64_t i = 0, n = t.numel(); i < n; ++i) {
    if (v[i] >= 0 && v[i] <= 1) continue;
    const std::int64_t channel = i % 3, x = i / 3 % t.size(2), y = i / 3 / t.size(2) % t.size(1),
                       frame = i / 3 / t.size(2) / t.size(1);
    throw IoError(cat(shown(path), ": frame ", frame, ", row ", y, ", column ", x, ", channel ", channel,
                      ": must be 0 to 1, is ", v[i]));
  }
  return t;
}

}  // namespace detail

/// A clip from a video, a PNG or JPEG picture (one frame), a folder of such pictures (in the natural order of their names;
/// contact sheets and previews are skipped), a .npy array, or the tensor `frames` of a .safetensors file.
///   returns [F, H, W, 3], u8, or f32 in [0, 1] for arrays of that; at most the first `at_most` frames
/// Throws IoError.
inline Tensor<> read_frames(const std::filesystem::path& path, std::int64_t at_most = 4096) {
  detail::refuse_nul(path);
  if (at_most < 1) throw ArgumentError(cat("read_frames: at_most must be positive, got ", at_most));
  struct stat s {};
  if (::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode)) return detail::read_folder(path, at_most);
  std::string head(16, '\0');
  {
    const RegularFile file(path);
    head.resize(std::min(head.size(), file.size()));
    file.read(0, {reinterpret_cast<unsigned char*>(head.data()), head.size()});
  }
  const std::string extension = detail::lower_extension(path);
  if (head.starts_with("\x93NUMPY") || extension == ".npy") return detail::check_array(read_npy(path), path, at_most);
  if (extension == ".safetensors") return detail::check_array(Safetensors(path).get("frames"), path, at_most);
  if (detail::is_png(head) || detail::is_jpeg(head) || extension == ".png" || extension == ".jpg" ||
      extension == ".jpeg")
    return unsqueeze(read_image(path), 0);
  return detail::read_video(path, at_most);
}

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

class Mp4Sink : public FrameSink {
 public:
  Mp4Sink(const std::filesystem::path& path, double rate) : FrameSink(path), rate_(rate) {}

 private:
  void write(const Tensor<>& frame, const std::string& where) override {
    if (!video_) video_ = std::make_unique<VideoWriter>(path_, frame.size(1), frame.size(0), rate_);
    video_->add(picture_to_u8(frame, where));
  }
  void close() override {
    video_->finish();
    files_ = {path_};
  }
  double rate_;
  std::unique_ptr<VideoWriter> video_;
};

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
  explicit SafetensorsSink(const std::filesystem::path& path) : FrameSink(path) {}

 private:
  static constexpr std::size_t header_bytes = 256;

  void write(const Tensor<>& frame, const std::string& where) override {
    if (!file_) {
      file_ = std::make_unique<FileWriter>(path_);
      file_->write(std::string(header_bytes, ' '));
      shape_ = frame.shape();
    }
    const Tensor<> t = picture_to_f32(frame, where);
    file_->write(t.ref().data, t.bytes());
  }
  void close() override {
    JsonWriter json(false);
    json.begin_object().key("__metadata__").begin_object().field("format", "pt").end().key("frames").begin_object();
    json.field("dtype", "F32").field("shape", std::vector<std::int64_t>{count_, shape_[0], shape_[1], 3});
    json.field("data_offsets",
               std::vector<std::int64_t>{0, static_cast<std::int64_t>(file_->position() - header_bytes)})
        .end()
        .end();
    std::string header(8, '\0');
    header[0] = static_cast<char>((header_bytes - 8) & 255);
    header += json.text();
    header.resize(header_bytes, ' ');
    file_->write_at(0, header.data(), header.size());
    file_->commit();
    files_ = {path_};
  }
  std::unique_ptr<FileWriter> file_;
  Shape shape_;
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
  explicit PngSink(const std::filesystem::path& path) : FrameSink(path), pattern_(path) {}

 private:
  void write(const Tensor<>& frame, const std::string& where) override {
    group_.add(pattern_.name(count_, 2)).write(png_bytes(picture_to_u8(frame, where)));
  }
  void close() override {
    std::vector<std::filesystem::path> names;
    for (std::int64_t i = 0; i < count_; ++i) names.push_back(pattern_.name(i, count_));
    group_.commit(names);
    files_ = std::move(names);
  }
  PngPattern pattern_;
  FileGroup group_;
};

}  // namespace detail

/// Checks an output name before any work, creating nothing: the extension is known (ArgumentError lists them), a picture
/// pattern is well-formed, the place can be written (IoError), and there is an encoder for .mp4 (Unsupported).
inline void check_frames_destination(const std::filesystem::path& path) {
  detail::refuse_nul(path);
  const std::string extension = detail::lower_extension(path);
  struct stat s {};
  if (::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode))
    throw IoError(cat(shown(path), ": an output must be a file name, is a folder"));
  if (extension != ".mp4" && extension != ".png" && extension != ".npy" && extension != ".safetensors")
    throw ArgumentError(
        cat(shown(path), ": ",
            extension.empty() ? "an output needs an extension"
                              : cat("unknown extension \"", printable(extension, 40), "\""),
            "; allowed are .mp4, .png (one picture, or a sequence such as frame_%05d.png), .npy and .safetensors"));
  if (extension == ".png") {
    const detail::PngPattern pattern(path);
    check_destination(pattern.name(0, 1));
    check_destination(pattern.name(0, 2));
    return;
  }
  check_destination(path);
  if (extension == ".mp4") h264_encoder();
}

/// The sink for an output name: .mp4 (H.264), .png (x.png for one frame, x_00000.png … for several, or a pattern such as
/// frame_%05d.png, counted from 0), .npy and .safetensors (f32 [F, H, W, 3]; tensor `frames`). Checks as above.
inline std::unique_ptr<FrameSink> make_frame_sink(const std::filesystem::path& path, double frames_per_second = 8) {
  check_frames_destination(path);
  const std::string extension = detail::lower_extension(path);
  if (extension == ".mp4") return std::make_unique<detail::Mp4Sink>(path, frames_per_second);
  if (extension == ".png") return std::make_unique<detail::PngSink>(path);
  if (extension == ".npy") return std::make_unique<detail::NpySink>(path);
  return std::make_unique<detail::SafetensorsSink>(path);
}

}  // namespace kinema::inline KINEMA_ABI::io
