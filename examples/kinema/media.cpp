// examples/kinema/media.cpp - pictures, videos and latents in and out of the program.
#include "media.hpp"

#include "arguments.hpp"

#include <kinema/io/safetensors.hpp>

#include <cstdio>
#include <filesystem>

namespace program {

using namespace kinema;

Tensor<> read_picture(const std::string& path) {
  const Tensor<> frames = io::read_frames(path, 1);
  if (frames.dtype() != DType::u8) throw Failure(ExitCode::file, cat(printable(path), ": an image must be PNG or JPEG, or the first frame of a video"));
  return select(frames, 0, 0);
}

Tensor<> read_clip(const std::string& path, std::optional<std::int64_t> frames) {
  constexpr std::int64_t most = 4096;  // what a clip may have; more frames than asked for are not decoded
  const Tensor<> clip = io::read_frames(path, frames ? std::min(std::max<std::int64_t>(*frames, 1), most) : most);
  if (frames && clip.size(0) < *frames) throw Failure(ExitCode::file, cat(printable(path), ": has ", clip.size(0), " frames, ", *frames, " are needed"));
  return clip;
}

void check_video_output(const std::string& path) { io::check_frames_destination(path); }

void check_latents_output(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".safetensors") usage_error(printable(path), ": must end in .safetensors");
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw Failure(ExitCode::file, cat(printable(path), ": an output must be a file name, is a folder"));
  io::check_destination(path);
}

void write_latents(const std::string& path, const Tensor<>& latents, const std::string& layout, std::int64_t surplus) {
  io::write_safetensors(path, {{"latents", latents}}, {{"format", "pt"}, {"layout", layout}, {"surplus_frames", std::to_string(surplus)}});
}

void print_path(const std::string& path) { std::printf("%s\n", printable(path, 4096).c_str()); }

VideoOutput::VideoOutput(const std::string& path, std::int64_t frames, double fps, bool contact_sheet) : sink_(io::make_frame_sink(path, fps)) {
  if (!contact_sheet) return;
  sheet_path_ = io::contact_sheet_path(path).native();
  sheet_ = std::make_unique<io::ContactSheet>(frames);
}

VideoOutput::~VideoOutput() = default;

void VideoOutput::add(const Tensor<>& frames) {
  sink_->add(frames);
  if (sheet_) sheet_->add(frames);
}

void VideoOutput::finish() {
  if (!sheet_) return sink_->finish();
  // The sheet is on the disk before the video takes its name, so that neither appears without the other.
  io::FileWriter file(sheet_path_);
  file.write(io::png_bytes(sheet_->picture()));
  file.seal();
  sink_->finish();
  file.publish();
}

void VideoOutput::print_paths() const {
  for (const auto& file : sink_->files()) print_path(file.native());
  if (sheet_) print_path(sheet_path_);
}

}  // namespace program
