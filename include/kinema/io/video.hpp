// kinema/io/video.hpp - video files read frame by frame; mp4, webm, gif and webp written so; the adapter of FFmpeg.
//
// FFmpeg sees bytes of ours and no file names: a playlist cannot make it open other files or the network, and every
// failed read or write carries the system's reason. Encoding uses one thread, because the bits of an x264 stream depend
// on the number of threads. FFmpeg's log is silenced (a setting of the whole process): the library prints nothing.
#pragma once

#include <kinema/io/elements.hpp>
#include <kinema/io/gif_comment.hpp>
#include <kinema/io/orientation.hpp>
#include <kinema/io/palette.hpp>
#include <kinema/io/webp_comment.hpp>

#if !defined(KINEMA_WITH_FFMPEG) || !KINEMA_WITH_FFMPEG
#error "kinema: io/video.hpp needs FFmpeg's libraries; compile with KINEMA_WITH_FFMPEG=1 (link kinema::video)"
#endif

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <cmath>
#include <exception>

namespace kinema::inline KINEMA_ABI::io {

/// What a reader accepts, checked before memory is taken.
struct VideoLimits {
  std::int64_t frames = 4096;
  std::int64_t side = 16384;
  std::int64_t pixels = std::int64_t{1} << 26;
};

namespace detail {

struct FreeAv {
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(SwsContext* p) const { sws_freeContext(p); }
  void operator()(AVIOContext* p) const {
    av_freep(&p->buffer);
    avio_context_free(&p);
  }
};
template <class T> using Av = std::unique_ptr<T, FreeAv>;

inline std::string av_words(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof text);
  return printable(text, 200);
}

template <class T>
Av<T> av_made(T* p, const std::filesystem::path& path) {
  if (p == nullptr) throw MemoryError(cat(shown(path), ": no memory for the video"));
  return Av<T>(p);
}

inline void silence_av_log() {
  static const bool once = (av_log_set_level(AV_LOG_QUIET), true);
  static_cast<void>(once);
}

inline int refuse_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) { return AVERROR(EPERM); }

/// A file as FFmpeg's input. Errors wait in `failure`, because exceptions must not cross C code.
struct AvInput {
  explicit AvInput(const std::filesystem::path& path) : file(path) {}
  static int read(void* self, std::uint8_t* to, int bytes) {
    auto& in = *static_cast<AvInput*>(self);
    const std::uint64_t left = in.file.size() - std::min<std::uint64_t>(in.position, in.file.size());
    if (left == 0) return AVERROR_EOF;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left, static_cast<std::uint64_t>(bytes)));
    try {
      in.file.read(in.position, {to, n});
    } catch (...) {
      in.failure = std::current_exception();
      return AVERROR(EIO);
    }
    in.position += n;
    return static_cast<int>(n);
  }
  static std::int64_t seek(void* self, std::int64_t offset, int whence) {
    auto& in = *static_cast<AvInput*>(self);
    const auto size = static_cast<std::int64_t>(in.file.size());
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return size;
    std::int64_t to = 0;
    const std::int64_t from = whence == SEEK_CUR   ? static_cast<std::int64_t>(in.position)
                              : whence == SEEK_END ? size
                                                   : 0;
    if (__builtin_add_overflow(from, offset, &to) || to < 0 || to > size)
      return AVERROR(EINVAL);  // a cut file shows here
    in.position = static_cast<std::uint64_t>(to);
    return to;
  }
  RegularFile file;
  std::uint64_t position = 0;
  std::exception_ptr failure;
};

/// A file of ours as FFmpeg's output.
struct AvOutput {
  explicit AvOutput(const std::filesystem::path& path) : file(path) {}
#if LIBAVFORMAT_VERSION_MAJOR >= 61
  static int write(void* self, const std::uint8_t* from, int bytes) {
#else
  static int write(void* self, std::uint8_t* from, int bytes) {
#endif
    auto& out = *static_cast<AvOutput*>(self);
    try {
      out.file.write(from, static_cast<std::size_t>(bytes));
    } catch (...) {
      out.failure = std::current_exception();
      return AVERROR(EIO);
    }
    return bytes;
  }
  static std::int64_t seek(void* self, std::int64_t offset, int whence) {
    auto& out = *static_cast<AvOutput*>(self);
    try {
      const auto size = static_cast<std::int64_t>(out.file.size());
      whence &= ~AVSEEK_FORCE;
      if (whence == AVSEEK_SIZE) return size;
      const std::int64_t from = whence == SEEK_CUR   ? static_cast<std::int64_t>(out.file.position())
                                : whence == SEEK_END ? size
                                                     : 0;
      std::int64_t to = 0;
      if (__builtin_add_overflow(from, offset, &to) || to < 0) return AVERROR(EINVAL);
      out.file.seek(static_cast<std::uint64_t>(to));
      return to;
    } catch (...) {
      out.failure = std::current_exception();
      return AVERROR(EIO);
    }
  }
  FileWriter file;
  std::exception_ptr failure;
};

inline constexpr int av_buffer_bytes = 1 << 16;

/// One line of RGB padded for swscale, whose vector code writes past the last pixel.
struct PaddedPicture {
  PaddedPicture(std::int64_t width, std::int64_t height)
      : line((3 * width + 63) / 64 * 64 + 64), bytes(static_cast<std::size_t>(line * height + 64)) {}
  std::uint8_t* data() { return bytes.data() + (64 - reinterpret_cast<std::uintptr_t>(bytes.data()) % 64) % 64; }
  std::int64_t line;
  std::vector<std::uint8_t> bytes;
};

}  // namespace detail

/// Frames of the best video stream of a file of any container that FFmpeg knows, in presentation order, turned upright.
/// Colours are converted as the ffmpeg program does. Throws IoError, naming the file and the frame.
class VideoReader {
 public:
  explicit VideoReader(const std::filesystem::path& path, const VideoLimits& limits = {})
      : path_(path), limits_(limits), input_(std::make_unique<detail::AvInput>(path)) {
    detail::silence_av_log();
    if (input_->file.size() == 0) throw IoError(cat(shown(path_), ": is empty, expected a video"));
    auto* buffer = static_cast<unsigned char*>(av_malloc(detail::av_buffer_bytes));
    if (buffer == nullptr) throw MemoryError(cat(shown(path_), ": no memory for the video"));
    io_.reset(avio_alloc_context(buffer, detail::av_buffer_bytes, 0, input_.get(), detail::AvInput::read, nullptr,
                                 detail::AvInput::seek));
    AVFormatContext* format = avformat_alloc_context();
    if (!io_ || format == nullptr) {
      avformat_free_context(format);
      throw MemoryError(cat(shown(path_), ": no memory for the video"));
    }
    format->pb = io_.get();
    format->io_open = detail::refuse_open;
    format->flags |= AVFMT_FLAG_CUSTOM_IO;
    // Containers only: scripts and playlists (concat, hls, dash, sdp …) make FFmpeg open other files by ways of their own.
    format->format_whitelist = av_strdup(
        "mov,matroska,avi,gif,apng,mpegts,mpeg,mpegvideo,m4v,flv,ogg,asf,ivf,yuv4mpegpipe,h264,hevc,vc1,obu,av1,dv,mxf,nut,rm,webp_pipe,bmp_pipe,tiff_pipe,wav");
    format->protocol_whitelist = av_strdup("none");
    if (format->format_whitelist == nullptr || format->protocol_whitelist == nullptr) {
      avformat_free_context(format);
      throw MemoryError(cat(shown(path_), ": no memory for the video"));
    }
    const int opened = avformat_open_input(&format, nullptr, nullptr, nullptr);  // frees format on failure
    if (opened < 0) fail(opened, "not a video that FFmpeg can read");
    format_.reset(format);
    check(avformat_find_stream_info(format, nullptr), "cannot find the streams");
    open_stream();
  }

  std::int64_t width() const { return turned() ? codec_->height : codec_->width; }
  std::int64_t height() const { return turned() ? codec_->width : codec_->height; }
  /// Frames per second; 0 if the file does not say.
  double frame_rate() const {
    const AVRational r = av_guess_frame_rate(format_.get(), stream_, nullptr);
    return r.num > 0 && r.den > 0 ? av_q2d(r) : 0;
  }
  /// Frames returned so far.
  std::int64_t position() const { return count_; }
  /// The container's texts, in its order. Matroska stores names in capitals; they come back in small letters.
  Tags tags() const {
    const bool small = std::string_view(format_->iformat->name).find("matroska") != std::string_view::npos;
    Tags out;
    const AVDictionaryEntry* e = nullptr;
    while ((e = av_dict_get(format_->metadata, "", e, AV_DICT_IGNORE_SUFFIX)) != nullptr) {
      std::string name = e->key;
      if (small)
        for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      if (name == "comment")
        for (auto& tag : detail::tags_of_comment(e->value)) out.push_back(std::move(tag));
      else out.emplace_back(std::move(name), e->value);
    }
    return out;
  }

  /// The next frame, u8 [H, W, 3], or no tensor at the end.
  Tensor<> next() {
    for (;;) {
      const int got = avcodec_receive_frame(codec_.get(), frame_.get());
      if (got == 0) return take();
      if (got == AVERROR_EOF) return {};
      if (got != AVERROR(EAGAIN)) fail(got, cat("frame ", count_, " cannot be decoded"));
      feed();
    }
  }

 private:
  struct CloseInput {
    void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
  };

  [[noreturn]] void fail(int error, std::string_view what) const {
    if (input_->failure) std::rethrow_exception(input_->failure);
    throw IoError(cat(shown(path_), ": ", what, ": ", detail::av_words(error)));
  }
  void check(int result, std::string_view what) const {
    if (result < 0) fail(result, what);
  }
  bool turned() const { return orientation_ >= 5; }

  void open_stream() {
    const AVCodec* decoder = nullptr;
    const int index = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (index < 0) {
      std::string streams;
      for (unsigned i = 0; i < format_->nb_streams && i < 20; ++i) {
        const char* kind = av_get_media_type_string(format_->streams[i]->codecpar->codec_type);
        streams += cat(i == 0 ? "" : ", ", kind == nullptr ? "unknown" : kind, " (",
                       avcodec_get_name(format_->streams[i]->codecpar->codec_id), ")");
      }
      throw IoError(
          cat(shown(path_), ": has no video that can be decoded; its streams: ", streams.empty() ? "none" : streams));
    }
    stream_ = format_->streams[index];
    for (unsigned i = 0; i < format_->nb_streams; ++i)
      if (static_cast<int>(i) != index) format_->streams[i]->discard = AVDISCARD_ALL;
    refuse_size(stream_->codecpar->width, stream_->codecpar->height);
    codec_ = detail::av_made(avcodec_alloc_context3(decoder), path_);
    check(avcodec_parameters_to_context(codec_.get(), stream_->codecpar), "cannot set up the decoder");
    codec_->max_pixels = limits_.pixels;
    codec_->thread_count = 0;  // decoding gives the same pixels with any number of threads
    check(avcodec_open2(codec_.get(), decoder, nullptr), cat("cannot open the decoder ", decoder->name));
    packet_ = detail::av_made(av_packet_alloc(), path_);
    frame_ = detail::av_made(av_frame_alloc(), path_);
    orientation_ = orientation();
  }
  void refuse_size(std::int64_t w, std::int64_t h) const {
    if (w < 1 || h < 1 || w > limits_.side || h > limits_.side || w > limits_.pixels / h)
      throw IoError(cat(shown(path_), ": a video of ", w, "x", h, " pixels; sides must be 1 to ", limits_.side,
                        ", pixels at most ", limits_.pixels));
  }
  /// As an EXIF orientation; only quarter turns.
  unsigned orientation() const {
#if LIBAVFORMAT_VERSION_MAJOR >= 61
    const AVPacketSideData* side = av_packet_side_data_get(
        stream_->codecpar->coded_side_data, stream_->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    const std::uint8_t* matrix = side == nullptr || side->size < 36 ? nullptr : side->data;
#else
    std::size_t bytes = 0;
    const std::uint8_t* matrix = av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
    if (bytes < 36) matrix = nullptr;
#endif
    if (matrix == nullptr) return 1;
    std::int32_t values[9];
    std::memcpy(values, matrix, sizeof values);
    const double degrees = av_display_rotation_get(values);  // counterclockwise, or NaN
    if (!(degrees >= -360 && degrees <= 360)) return 1;
    switch ((static_cast<int>(std::lround(degrees / 90)) % 4 + 4) % 4) {
      case 1: return 8;
      case 2: return 3;
      case 3: return 6;
      default: return 1;
    }
  }

  /// Gives the decoder its next packet, or the news that there is none.
  void feed() {
    for (;;) {
      const int got = av_read_frame(format_.get(), packet_.get());
      if (got == AVERROR_EOF) {
        if (input_->failure) std::rethrow_exception(input_->failure);
        refuse_missing_packets();
        check(avcodec_send_packet(codec_.get(), nullptr), cat("frame ", count_, " cannot be decoded"));
        return;
      }
      if (got < 0) fail(got, cat("cannot be read after frame ", count_));
      const bool ours = packet_->stream_index == stream_->index, damaged = (packet_->flags & AV_PKT_FLAG_CORRUPT) != 0;
      const int sent = ours && !damaged ? avcodec_send_packet(codec_.get(), packet_.get()) : 0;
      av_packet_unref(packet_.get());
      if (ours && damaged) throw IoError(cat(shown(path_), ": is damaged or truncated after frame ", count_));
      if (sent < 0) fail(sent, cat("frame ", count_, " cannot be decoded"));
      if (!ours) continue;
      ++packets_;
      return;
    }
  }
  /// An mp4 that was cut between two frames just ends, but its index knows better.
  void refuse_missing_packets() const {
    const std::int64_t listed = avformat_index_get_entries_count(stream_);
    if (packets_ < listed && std::string_view(format_->iformat->name).find("mov") != std::string_view::npos)
      throw IoError(cat(shown(path_), ": is truncated: it ends after ", packets_, " of ", listed, " frames"));
  }

  Tensor<> take() {
    AVFrame& f = *frame_;
    if (count_ >= limits_.frames) throw IoError(cat(shown(path_), ": more than ", limits_.frames, " frames"));
    if (f.decode_error_flags != 0 || (f.flags & AV_FRAME_FLAG_CORRUPT) != 0)
      throw IoError(cat(shown(path_), ": frame ", count_, " is damaged"));
    if (count_ == 0) first_width_ = f.width, first_height_ = f.height;
    if (f.width != first_width_ || f.height != first_height_)
      throw IoError(cat(shown(path_), ": frame ", count_, " is ", f.width, "x", f.height, ", the frames before are ",
                        first_width_, "x", first_height_));
    refuse_size(f.width, f.height);
    const auto format = static_cast<AVPixelFormat>(f.format);
    scale_.reset(sws_getCachedContext(scale_.release(), f.width, f.height, format, f.width, f.height, AV_PIX_FMT_RGB24,
                                      SWS_BICUBIC, nullptr, nullptr, nullptr));
    if (!scale_)
      throw IoError(cat(shown(path_), ": pixels of format ",
                        av_get_pix_fmt_name(format) == nullptr ? "unknown" : av_get_pix_fmt_name(format),
                        " cannot be converted"));
    const int matrix = f.colorspace == AVCOL_SPC_UNSPECIFIED || f.colorspace == AVCOL_SPC_RGB
                           ? SWS_CS_DEFAULT
                           : static_cast<int>(f.colorspace);
    sws_setColorspaceDetails(scale_.get(), sws_getCoefficients(matrix), f.color_range == AVCOL_RANGE_JPEG,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    detail::PaddedPicture rgb(f.width, f.height);
    std::uint8_t* const planes[4] = {rgb.data(), nullptr, nullptr, nullptr};
    const int lines[4] = {static_cast<int>(rgb.line), 0, 0, 0};
    check(sws_scale(scale_.get(), f.data, f.linesize, 0, f.height, planes, lines),
          cat("frame ", count_, " cannot be converted to RGB"));
    Tensor<> out = empty({f.height, f.width, 3}, DType::u8);
    for (std::int64_t y = 0; y < f.height; ++y)
      std::memcpy(out.data<std::uint8_t>() + y * f.width * 3, rgb.data() + y * rgb.line,
                  static_cast<std::size_t>(f.width) * 3);
    av_frame_unref(frame_.get());
    ++count_;
    return detail::apply_orientation(out, orientation_);
  }

  std::filesystem::path path_;
  VideoLimits limits_;
  std::unique_ptr<detail::AvInput> input_;
  detail::Av<AVIOContext> io_;
  std::unique_ptr<AVFormatContext, CloseInput> format_;
  AVStream* stream_ = nullptr;
  detail::Av<AVCodecContext> codec_;
  detail::Av<AVPacket> packet_;
  detail::Av<AVFrame> frame_;
  detail::Av<SwsContext> scale_;
  unsigned orientation_ = 1;
  std::int64_t count_ = 0, packets_ = 0;
  int first_width_ = 0, first_height_ = 0;
};

/// How FFmpeg writes one kind of file.
struct VideoFormat {
  std::string_view extension;
  const char* muxer;
  const char* encoders[2];  ///< in order of preference
  const char* needs;        ///< what is missing if there is none
  AVPixelFormat pixels;
  std::int64_t least_side, multiple_of;
};

/// mpeg4 in mp4 would not play everywhere, so it is no substitute.
inline constexpr VideoFormat video_formats[] = {
    {".mp4", "mp4", {"libx264", "libopenh264"}, "H.264 encoder (libx264 or libopenh264)", AV_PIX_FMT_YUV420P, 2, 2},
    {".webm", "webm", {"libvpx-vp9", "libvpx"}, "VP9 or VP8 encoder (libvpx)", AV_PIX_FMT_YUV420P, 2, 2},
    {".gif", "gif", {"gif", nullptr}, "GIF encoder", AV_PIX_FMT_PAL8, 1, 1},
    {".webp", "webp", {"libwebp_anim", nullptr}, "encoder of animated WebP (libwebp_anim)", AV_PIX_FMT_RGB32, 1, 1}};

/// The format of an extension in small letters, or null.
inline const VideoFormat* find_video_format(std::string_view extension) {
  for (const VideoFormat& f : video_formats)
    if (f.extension == extension) return &f;
  return nullptr;
}

/// This machine's encoder for a format. Throws Unsupported if FFmpeg was built without it.
inline const AVCodec& encoder_of(const VideoFormat& format) {
  for (const char* name : format.encoders)
    if (const AVCodec* codec = name == nullptr ? nullptr : avcodec_find_encoder_by_name(name)) return *codec;
  throw Unsupported(cat(format.extension, ": this FFmpeg has no ", format.needs, "; write .avi, .apng, .png or .npy"));
}

/// Writes what the file's extension says: H.264 in mp4 (index first, so that it plays while it loads) or VP9 in webm, both
/// yuv420p of BT.709 and visually lossless; gif with 255 colours for each frame; animated webp. Tags go into the container.
/// The file appears in finish().
class VideoWriter {
 public:
  VideoWriter(const std::filesystem::path& path, std::int64_t width, std::int64_t height, double frames_per_second, const Tags& tags = {})
      : path_(path), width_(width), height_(height), tags_(tags) {
    detail::silence_av_log();
    detail::check_tags(tags);
    std::string extension = path.extension().native();
    for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const VideoFormat* format = find_video_format(extension);
    if (format == nullptr) throw ArgumentError(cat(shown(path_), ": a video must be .mp4, .webm, .gif or .webp"));
    kind_ = format;
    const std::int64_t least = kind_->least_side, step = kind_->multiple_of;
    if (width < least || height < least || width > 16384 || height > 16384 || width % step != 0 || height % step != 0)
      throw ArgumentError(cat(shown(path_), ": ", kind_->muxer, " needs ", step == 2 ? "even " : "", "sides of ", least, " to 16384 pixels, got ", width,
                              "x", height, "; write .png or .npy"));
    if (!(frames_per_second > 0 && frames_per_second <= 1000))
      throw ArgumentError(
          cat(shown(path_), ": frames per second must be above 0 and at most 1000, got ", frames_per_second));
    const AVCodec& encoder = encoder_of(*kind_);
    output_ = std::make_unique<detail::AvOutput>(path);
    rate_ = av_d2q(frames_per_second, 100000);
    open_container();
    open_encoder(encoder);
    stream_ = avformat_new_stream(format_.get(), nullptr);
    if (stream_ == nullptr) throw MemoryError(cat(shown(path_), ": no memory for the video"));
    stream_->time_base = codec_->time_base;
    stream_->avg_frame_rate = rate_;
    check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), "cannot describe the stream");
    AVDictionary* options = nullptr;
    if (is("mp4")) av_dict_set(&options, "movflags", tags.empty() ? "+faststart" : "+faststart+use_metadata_tags", 0);
    if (is("gif") || is("webp")) av_dict_set(&options, "loop", "0", 0);  // for ever
    const int written = avformat_write_header(format_.get(), &options);
    av_dict_free(&options);
    check(written, "cannot write the header");
  }

  /// Appends a frame, u8 [H, W, 3] on the host, any strides.
  void add(const Tensor<>& frame) {
    if (frame.dtype() != DType::u8 || !(frame.shape() == Shape{height_, width_, 3}))
      throw ShapeError(cat(shown(path_), ": frames are u8", Shape{height_, width_, 3}, ", got ", to_string(frame)));
    std::size_t at = 0;
    const auto row = static_cast<std::size_t>(3 * width_);
    detail::for_each_run(frame, [&](const unsigned char* data, std::size_t bytes) {
      while (bytes > 0) {  // a run may span rows, or be part of one
        const std::size_t some = std::min(bytes, row - at % row);
        std::memcpy(rgb_->data() + at / row * static_cast<std::size_t>(rgb_->line) + at % row, data, some);
        at += some;
        data += some;
        bytes -= some;
      }
    });
    if (is("gif")) {  // a frame of its own each: the palette travels in it
      new_frame();
      fill_paletted();
    } else {
      check(av_frame_make_writable(frame_.get()), "no memory for a frame");
      const std::uint8_t* const planes[4] = {rgb_->data(), nullptr, nullptr, nullptr};
      const int lines[4] = {static_cast<int>(rgb_->line), 0, 0, 0};
      check(sws_scale(scale_.get(), planes, lines, 0, static_cast<int>(height_), frame_->data, frame_->linesize),
            "cannot convert a frame");
    }
    frame_->pts = count_++;
    check(avcodec_send_frame(codec_.get(), frame_.get()), cat("frame ", count_ - 1, " cannot be encoded"));
    drain();
  }

  /// The file is complete and takes its name. Throws ArgumentError if there is no frame.
  void finish() {
    if (count_ == 0) throw ArgumentError(cat(shown(path_), ": a video needs at least one frame"));
    check(avcodec_send_frame(codec_.get(), nullptr), "cannot finish the encoding");
    drain();
    check(av_write_trailer(format_.get()), "cannot write the index");
    avio_flush(io_.get());
    check(io_->error, "cannot write");
    if (output_->failure) std::rethrow_exception(output_->failure);
    if (is("gif") && !tags_.empty()) {  // in the place of the trailer, and the trailer again
      const std::string comment = detail::gif_comment(tags_) + ';';
      output_->file.write_at(output_->file.size() - 1, comment.data(), comment.size());
    }
    if (is("webp") && !tags_.empty()) {  // complete by now: the muxer cannot write them
      const std::string whole = detail::webp_with_tags(MappedFile(output_->file.temporary()).bytes(), width_, height_, tags_);
      output_->file.write_at(0, whole.data(), whole.size());
    }
    output_->file.commit();
  }
  std::int64_t frames() const { return count_; }

 private:
  struct FreeFormat {
    void operator()(AVFormatContext* p) const { avformat_free_context(p); }
  };

  [[noreturn]] void fail(int error, std::string_view what) const {
    if (output_->failure) std::rethrow_exception(output_->failure);
    throw IoError(cat(shown(path_), ": ", what, ": ", detail::av_words(error)));
  }
  void check(int result, std::string_view what) const {
    if (result < 0) fail(result, what);
  }

  bool is(std::string_view muxer) const { return muxer == kind_->muxer; }

  void open_container() {
    AVFormatContext* format = nullptr;
    check(avformat_alloc_output_context2(&format, nullptr, kind_->muxer, nullptr), cat("FFmpeg cannot write ", kind_->muxer));
    format_.reset(format);
    if (is("mp4") || is("webm"))
      for (const auto& [name, text] : tags_) check(av_dict_set(&format->metadata, name.c_str(), text.c_str(), 0), "no memory for the tags");
    auto* buffer = static_cast<unsigned char*>(av_malloc(detail::av_buffer_bytes));
    if (buffer == nullptr) throw MemoryError(cat(shown(path_), ": no memory for the video"));
    io_.reset(avio_alloc_context(buffer, detail::av_buffer_bytes, 1, output_.get(), nullptr, detail::AvOutput::write,
                                 detail::AvOutput::seek));
    if (!io_) {
      av_free(buffer);
      throw MemoryError(cat(shown(path_), ": no memory for the video"));
    }
    format->pb = io_.get();
    // Moving the index to the front reads the file again, by name. "file:" keeps FFmpeg from seeing a protocol in it.
    format->url = av_strdup(cat("file:", output_->file.temporary().native()).c_str());
    format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;  // no version, no date: equal frames give equal files
  }
  void open_encoder(const AVCodec& encoder) {
    codec_ = detail::av_made(avcodec_alloc_context3(&encoder), path_);
    codec_->width = static_cast<int>(width_);
    codec_->height = static_cast<int>(height_);
    codec_->pix_fmt = kind_->pixels;
    codec_->time_base = av_inv_q(rate_);
    codec_->framerate = rate_;
    codec_->thread_count = 1;
    const bool yuv = kind_->pixels == AV_PIX_FMT_YUV420P;
    if (yuv) {
      codec_->colorspace = AVCOL_SPC_BT709;
      codec_->color_primaries = AVCOL_PRI_BT709;
      codec_->color_trc = AVCOL_TRC_BT709;
      codec_->color_range = AVCOL_RANGE_MPEG;
    }
    codec_->flags |= AV_CODEC_FLAG_BITEXACT;
    if ((format_->oformat->flags & AVFMT_GLOBALHEADER) != 0) codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    AVDictionary* options = nullptr;
    const std::string_view name = encoder.name;
    const std::int64_t plenty = static_cast<std::int64_t>(0.3 * static_cast<double>(width_ * height_) * av_q2d(rate_)) + 100'000;
    if (name == "libx264") {
      av_dict_set(&options, "preset", "medium", 0);
      av_dict_set(&options, "crf", "17", 0);  // visually lossless
    } else if (name == "libvpx-vp9") {
      av_dict_set(&options, "deadline", "good", 0);
      av_dict_set(&options, "cpu-used", "3", 0);
      av_dict_set(&options, "crf", "18", 0);
      codec_->bit_rate = 0;  // quality decides
    } else if (name == "libvpx") {
      av_dict_set(&options, "crf", "8", 0);
      codec_->bit_rate = 4 * plenty;  // the most it may take
    } else if (name == "libwebp_anim") {
      av_dict_set(&options, "quality", "90", 0);
    } else if (name == "libopenh264") {
      codec_->bit_rate = plenty;
    }
    const int opened = avcodec_open2(codec_.get(), &encoder, &options);
    av_dict_free(&options);
    check(opened, cat("the encoder ", encoder.name, " refuses ", width_, "x", height_, " at ", av_q2d(rate_),
                      " frames per second"));
    packet_ = detail::av_made(av_packet_alloc(), path_);
    if (kind_->pixels != AV_PIX_FMT_PAL8) {
      new_frame();
      scale_ = detail::av_made(
          sws_getContext(codec_->width, codec_->height, AV_PIX_FMT_RGB24, codec_->width, codec_->height, kind_->pixels,
                         SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, nullptr, nullptr, nullptr),
          path_);
    }
    if (yuv)
      sws_setColorspaceDetails(scale_.get(), sws_getCoefficients(SWS_CS_ITU709), 1, sws_getCoefficients(SWS_CS_ITU709), 0,
                               0, 1 << 16, 1 << 16);
    rgb_ = std::make_unique<detail::PaddedPicture>(width_, height_);
  }
  void new_frame() {
    frame_ = detail::av_made(av_frame_alloc(), path_);
    frame_->format = kind_->pixels;
    frame_->width = codec_->width;
    frame_->height = codec_->height;
    frame_->colorspace = codec_->colorspace;
    frame_->color_range = codec_->color_range;
    check(av_frame_get_buffer(frame_.get(), 0), "no memory for a frame");
  }
  /// The picture in rgb_ with a palette; the colour after the last is transparent, for what stays as it was.
  void fill_paletted() {
    Tensor<> packed = empty({height_, width_, 3}, DType::u8);
    for (std::int64_t y = 0; y < height_; ++y)
      std::memcpy(packed.data<std::uint8_t>() + y * width_ * 3, rgb_->data() + y * rgb_->line, static_cast<std::size_t>(width_) * 3);
    const detail::Paletted picture(packed);
    for (std::int64_t y = 0; y < height_; ++y)
      std::memcpy(frame_->data[0] + y * frame_->linesize[0], picture.index.data() + y * width_, static_cast<std::size_t>(width_));
    std::uint32_t table[256] = {};
    for (std::size_t i = 0; i < picture.colours.size(); ++i) {
      const auto& c = picture.colours[i];
      table[i] = 0xFF000000u | std::uint32_t{c[0]} << 16 | std::uint32_t{c[1]} << 8 | c[2];
    }
    std::memcpy(frame_->data[1], table, sizeof table);
  }
  /// Writes what the encoder has ready.
  void drain() {
    for (;;) {
      const int got = avcodec_receive_packet(codec_.get(), packet_.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return;
      check(got, "cannot be encoded");
      packet_->stream_index = stream_->index;
      packet_->duration = 1;
      av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
      check(av_interleaved_write_frame(format_.get(), packet_.get()), "cannot write a frame");
      if (output_->failure) std::rethrow_exception(output_->failure);
    }
  }

  std::filesystem::path path_;
  std::int64_t width_, height_;
  Tags tags_;
  const VideoFormat* kind_ = nullptr;
  AVRational rate_{};
  std::unique_ptr<detail::AvOutput> output_;
  detail::Av<AVIOContext> io_;
  std::unique_ptr<AVFormatContext, FreeFormat> format_;
  AVStream* stream_ = nullptr;
  detail::Av<AVCodecContext> codec_;
  detail::Av<AVPacket> packet_;
  detail::Av<AVFrame> frame_;
  detail::Av<SwsContext> scale_;
  std::unique_ptr<detail::PaddedPicture> rgb_;
  std::int64_t count_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI::io
