// kinema/io/frames.hpp - clips in and out by what the file is: videos, pictures, folders of pictures, arrays.
//
// In: the content decides. Out: the extension decides. Sinks take frames as they are ready, so memory does not depend on
// the length of the clip (but for .webp, whose encoder keeps what it has seen), and everything appears under its name only
// in finish(). Without FFmpeg, pictures, arrays, .apng and .avi can be written; video files cannot be read.
#pragma once

#include <kinema/io/apng.hpp>
#include <kinema/io/avi.hpp>
#include <kinema/io/checkpoint.hpp>
#include <kinema/io/frame_sink.hpp>
#include <kinema/io/gif_comment.hpp>
#include <kinema/io/webp_comment.hpp>
#if KINEMA_WITH_FFMPEG
#include <kinema/io/video.hpp>
#define KINEMA_MEDIA with_ffmpeg
#else
#define KINEMA_MEDIA without_ffmpeg
#endif

namespace kinema::inline KINEMA_ABI::io {

inline constexpr std::int64_t max_clip_bytes = std::int64_t{32} << 30;  ///< of frames that a file or folder is read into

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

/// A sink on a writer that is made at the first frame, when the size is known: (path, width, height, rate, tags).
template <class Writer>
class WriterSink : public FrameSink {
 public:
  WriterSink(const std::filesystem::path& path, double rate, const Tags& tags) : FrameSink(path), rate_(rate), tags_(tags) { check_tags(tags); }

 private:
  void write(const Tensor<>& frame, const std::string& where) override {
    if (!writer_) writer_ = std::make_unique<Writer>(path_, frame.size(1), frame.size(0), rate_, tags_);
    writer_->add(picture_to_u8(frame, where));
  }
  void close() override {
    writer_->finish();
    files_ = {path_};
  }
  double rate_;
  Tags tags_;
  std::unique_ptr<Writer> writer_;
};

// What FFmpeg changes has that in its name, as everything has the switches of core/config.hpp.
inline namespace KINEMA_MEDIA {

#if !KINEMA_WITH_FFMPEG
[[noreturn]] inline void refuse_video(const std::filesystem::path& path, std::string_view what) {
  throw Unsupported(cat(shown(path), ": this build has no FFmpeg and cannot ", what, " such files"));
}
inline Tensor<> read_video(const std::filesystem::path& path, std::int64_t) { refuse_video(path, "read"); }
inline bool is_video_extension(std::string_view e) { return e == ".mp4" || e == ".webm" || e == ".gif" || e == ".webp"; }
[[noreturn]] inline void require_encoder(const std::filesystem::path& path, std::string_view) { refuse_video(path, "write"); }
#else
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
inline bool is_video_extension(std::string_view e) { return find_video_format(e) != nullptr; }
/// Throws Unsupported if this FFmpeg has no encoder for it.
inline void require_encoder(const std::filesystem::path&, std::string_view extension) { static_cast<void>(encoder_of(*find_video_format(extension))); }
#endif

}  // namespace KINEMA_MEDIA

}  // namespace detail

inline namespace KINEMA_MEDIA {

/// A clip from a video or animation, a PNG or JPEG picture (one frame), a folder of such pictures (in the natural order of their names;
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
  if (at_most > 1 && detail::is_png(head) && detail::is_animated_png(MappedFile(path).bytes())) return detail::read_video(path, at_most);
  if (detail::is_png(head) || detail::is_jpeg(head) || extension == ".png" || extension == ".jpg" ||
      extension == ".jpeg")
    return unsqueeze(read_image(path), 0);
  return detail::read_video(path, at_most);
}

/// Checks an output name before any work, creating nothing: the extension is known (ArgumentError lists them), a picture
/// pattern is well-formed, the place can be written (IoError), and there is an encoder for it (Unsupported).
inline void check_frames_destination(const std::filesystem::path& path) {
  detail::refuse_nul(path);
  const std::string extension = detail::lower_extension(path);
  struct stat s {};
  if (::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode))
    throw IoError(cat(shown(path), ": an output must be a file name, is a folder"));
  static constexpr std::string_view own[] = {".png", ".apng", ".avi", ".npy", ".safetensors"};
  if (std::find(std::begin(own), std::end(own), extension) == std::end(own) && !detail::is_video_extension(extension))
    throw ArgumentError(
        cat(shown(path), ": ",
            extension.empty() ? "an output needs an extension"
                              : cat("unknown extension \"", printable(extension, 40), "\""),
            "; allowed are .mp4, .webm, .gif, .webp, .apng, .avi, .png (one picture, or a sequence such as frame_%05d.png), "
            ".npy and .safetensors"));
  if (extension == ".png") {
    const detail::PngPattern pattern(path);
    check_destination(pattern.name(0, 1));
    check_destination(pattern.name(0, 2));
    return;
  }
  check_destination(path);
  if (detail::is_video_extension(extension)) detail::require_encoder(path, extension);
}

/// The sink for an output name. By its extension:
///   .mp4 (H.264), .webm (VP9 or VP8), .gif, .webp (animated)   through FFmpeg
///   .avi (JPEG pictures), .apng (lossless)                     without it
///   .png                  x.png for one frame, x_00000.png … for several, or a pattern such as frame_%05d.png, from 0
///   .npy, .safetensors    f32 [F, H, W, 3]; tensor `frames`
/// `tags` are stored in every file that can hold texts, which .npy cannot. Checks as above.
inline std::unique_ptr<FrameSink> make_frame_sink(const std::filesystem::path& path, double frames_per_second = 8, const Tags& tags = {}) {
  check_frames_destination(path);
  const std::string extension = detail::lower_extension(path);
  if (extension == ".png") return std::make_unique<detail::PngSink>(path, tags);
  if (extension == ".npy") return std::make_unique<detail::NpySink>(path);
  if (extension == ".safetensors") return std::make_unique<detail::SafetensorsSink>(path, tags);
  if (extension == ".apng") return std::make_unique<detail::WriterSink<ApngWriter>>(path, frames_per_second, tags);
  if (extension == ".avi") return std::make_unique<detail::WriterSink<AviWriter>>(path, frames_per_second, tags);
#if KINEMA_WITH_FFMPEG
  return std::make_unique<detail::WriterSink<VideoWriter>>(path, frames_per_second, tags);
#else
  detail::refuse_video(path, "write");
#endif
}

/// The texts that a media file carries, in its order; names as they are stored, those of .webm in small letters. The
/// metadata of a .safetensors file counts; files without texts have none. Throws IoError.
inline Tags read_tags(const std::filesystem::path& path) {
  const std::string extension = detail::lower_extension(path);
  if (extension == ".safetensors") {
    const Safetensors file(path);
    return {file.metadata().begin(), file.metadata().end()};
  }
  const MappedFile file(path);
  const std::string_view head(reinterpret_cast<const char*>(file.bytes().data()), std::min<std::size_t>(file.bytes().size(), 16));
  if (detail::is_png(head)) return detail::png_tags(file.bytes(), shown(path));
  if (detail::is_gif(head)) return detail::gif_tags(file.bytes(), shown(path));
  if (detail::is_webp(head)) return detail::webp_tags(file.bytes(), shown(path));
  if (detail::is_jpeg(head) || head.starts_with("\x93NUMPY")) return {};
#if KINEMA_WITH_FFMPEG
  return VideoReader(path).tags();
#else
  detail::refuse_video(path, "read");
#endif
}

}  // namespace KINEMA_MEDIA

}  // namespace kinema::inline KINEMA_ABI::io
