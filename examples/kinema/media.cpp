// examples/kinema/media.cpp - prompts, embeddings, pictures, videos and latents in and out of the program.
#include "media.hpp"

#include "arguments.hpp"

#include <kinema/io/safetensors.hpp>
#include <kinema/nn/load.hpp>
#include <kinema/text/utf8.hpp>

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace program {

using namespace kinema;

Tensor<> read_picture(const std::string& path) {
  const Tensor<> frames = io::read_frames(path, 1);
  if (frames.dtype() != DType::u8) throw Failure(ExitCode::file, cat(printable(path, 4096), ": an image must be PNG or JPEG, or the first frame of a video"));
  return select(frames, 0, 0);
}

Tensor<> read_clip(const std::string& path, std::optional<std::int64_t> frames) {
  constexpr std::int64_t most = 4096;  // what a clip may have; more frames than asked for are not decoded
  const Tensor<> clip = io::read_frames(path, frames ? std::min(std::max<std::int64_t>(*frames, 1), most) : most);
  if (frames && clip.size(0) < *frames) throw Failure(ExitCode::file, cat(printable(path, 4096), ": has ", clip.size(0), " frames, ", *frames, " are needed"));
  return clip;
}

namespace {

constexpr std::size_t most_prompt_bytes = std::size_t{16} << 20, most_prompts = 1000;

/// Until its end; Ctrl-C ends the wait for it.
std::string read_standard_input(const Stop& stop) {
  std::string text;
  for (;;) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (::poll(&input, 1, 100) <= 0) stop.check();
    char some[65536];
    const ::ssize_t n = ::read(STDIN_FILENO, some, sizeof some);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Failure(ExitCode::file, cat("standard input: cannot be read: ", std::strerror(errno)));
    if (n == 0) return text;
    text.append(some, static_cast<std::size_t>(n));
    if (text.size() > most_prompt_bytes) throw Failure(ExitCode::file, cat("standard input: more than ", most_prompt_bytes, " bytes of prompts"));
  }
}

}  // namespace

std::vector<std::string> read_prompts(const std::string& path, const Stop& stop) {
  const std::string name = path == "-" ? "standard input" : printable(path, 4096);
  std::string text = path == "-" ? read_standard_input(stop) : io::read_file(path, most_prompt_bytes);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  std::vector<std::string> prompts;
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string prompt = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (prompt.ends_with('\r')) prompt.pop_back();
    const std::size_t bad = std::min(text::first_malformed_utf8(prompt), prompt.find('\0'));
    if (bad < prompt.size()) throw Failure(ExitCode::file, cat(name, ": line ", line, ": byte ", bad, " is no UTF-8 text: \"", printable(prompt), "\""));
    if (prompt.find_first_not_of(" \t") != std::string::npos) prompts.push_back(std::move(prompt));
  }
  if (prompts.empty()) throw Failure(ExitCode::file, cat(name, ": has no prompt; there must be one on each line"));
  if (prompts.size() > most_prompts) throw Failure(ExitCode::file, cat(name, ": has ", prompts.size(), " prompts, at most ", most_prompts, " are read"));
  return prompts;
}

Tensor<> read_embeds(const std::string& path, const Shape& shape) {
  const io::Safetensors file(path);
  const char* const name = "prompt_embeds";
  if (!file.contains(name)) throw CheckpointError(cat(printable(path, 4096), ": no tensor \"", name, "\"; the file has ", nn::detail::listed_inline(file.names())));
  if (!is_floating(file.dtype(name)) || !(file.shape(name) == shape))
    throw CheckpointError(cat(printable(path, 4096), ": ", name, " must be floating ", shape, " for this model, got ", file.dtype(name), file.shape(name)));
  const Tensor<> embeds = file.get(name);
  const std::int64_t bad = op::first_non_finite(embeds);
  if (bad >= 0) throw NonFiniteError(cat(printable(path, 4096), ": ", name, ": element ", bad, " is not a finite number"));
  return embeds;
}

std::string numbered(const std::string& output, std::size_t i) {
  const std::filesystem::path path(output);
  std::string name = path.filename().native();
  const std::size_t percent = name.find('%'), end = name.size() - path.extension().native().size();
  name.insert(std::min(percent, end), percent < end ? cat(i, "_") : cat("_", i));
  return (path.parent_path() / name).native();
}

void check_video_output(const std::string& path, bool contact_sheet, bool side_car) {
  io::check_frames_destination(path);
  if (contact_sheet) io::check_destination(io::contact_sheet_path(path));
  if (side_car) io::check_destination(side_car_path(path));
}

void check_latents_output(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".safetensors") usage_error(printable(path, 4096), ": must end in .safetensors");
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw Failure(ExitCode::file, cat(printable(path, 4096), ": an output must be a file name, is a folder"));
  io::check_destination(path);
}

void write_latents(const std::string& path, const Tensor<>& latents, const std::string& layout, std::int64_t surplus, const std::string& document) {
  io::Metadata metadata{{"format", "pt"}, {"layout", layout}, {"surplus_frames", std::to_string(surplus)}};
  if (!document.empty()) metadata["kinema"] = document;
  io::write_safetensors(path, {{"latents", latents}}, metadata);
}

void print_path(const std::string& path) { std::printf("%s\n", printable(path, 4096).c_str()); }

VideoOutput::VideoOutput(const std::string& path, std::int64_t frames, double fps, const Extras& extras)
    : side_car_path_(side_car_path(path)), side_car_(extras.side_car), sink_(io::make_frame_sink(path, fps, extras.tags)) {
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
