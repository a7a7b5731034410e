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

void check_video_output(const std::string& path, bool contact_sheet, bool side_car) {
  io::check_frames_destination(path);
  if (contact_sheet) io::check_destination(io::contact_sheet_path(path));
  if (side_car) io::check_destination(side_car_path(path));
}

void check_latents_output(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".safetensors") usage_error(printable(path), ": must end in .safetensors");
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw Failure(ExitCode::file, cat(printable(path), ": an output must be a file name, is a folder"));
  io::check_destination(path);
}

void write_latents(const std::string& path, const Tensor<>& latents, const std::string& layout, std::int64_t surplus, const std::string& document) {
  io::Metadata metadata{{"format", "pt"}, {"layout", layout}, {"surplus_frames", std::to_string(surplus)}};
  if (!document.empty()) metadata["kinema"] = document;
  io::write_safetensors(path, {{"latents", latents}}, metadata);
}

void print_path(const std::string& path) { std::printf("%s\n", printable(path, 4096).c_str()); }

VideoOutput::VideoOutput(const std::string& path, std::int64_t frames, double fps, const Extras& extras)
    : side_car_path_(side_car_path(path)), side_car_(extras.side_car), sink_(io::make_frame_sink(path, fps)) {
  if (!extras.contact_sheet) return;
  sheet_path_ = io::contact_sheet_path(path).native();
  sheet_ = std::make_unique<io::ContactSheet>(frames);
}

VideoOutput::~VideoOutput() = default;

void VideoOutput::add(const Tensor<>& frames) {
  sink_->add(frames);
  if (sheet_) sheet_->add(frames);
}

void VideoOutput::finish() {
  // What stands beside the video is on the disk before it takes its name, so that neither appears without the other.
  io::FileGroup beside;
  if (sheet_) beside.add(sheet_path_).write(io::png_bytes(sheet_->picture()));
  if (!side_car_.empty()) beside.add(side_car_path_).write(side_car_ + "\n");
  if (beside.size() > 0) beside[beside.size() - 1].seal();
  sink_->finish();
  beside.commit();
}

std::vector<std::string> VideoOutput::paths() const {
  std::vector<std::string> all;
  for (const auto& file : sink_->files()) all.push_back(file.native());
  if (sheet_) all.push_back(sheet_path_);
  if (!side_car_.empty()) all.push_back(side_car_path_);
  return all;
}

}  // namespace program
