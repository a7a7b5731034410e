// examples/kinema/media.hpp - prompts, embeddings, pictures, videos and latents in and out of the program.
#pragma once

#include <kinema/io/contact_sheet.hpp>
#include <kinema/io/frames.hpp>
#include <kinema/runtime/stop.hpp>
#include <kinema/tensor/tensor.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace program {

/// u8 [H, W, 3].
kinema::Tensor<> read_picture(const std::string& path);
/// u8 or f32 [F, H, W, 3]; at most `frames` are read.
kinema::Tensor<> read_clip(const std::string& path, std::optional<std::int64_t> frames);

/// The lines of a UTF-8 file, or of standard input for "-"; blank ones are left out. Throws for a file without a prompt.
std::vector<std::string> read_prompts(const std::string& path, const kinema::Stop& stop);
/// The tensor prompt_embeds of a file of encode-text, of this shape.
kinema::Tensor<> read_embeds(const std::string& path, const kinema::Shape& shape);

/// The i-th of several outputs: v.mp4 → v_0.mp4, f_%05d.png → f_0_%05d.png.
std::string numbered(const std::string& output, std::size_t i);

/// What is written beside the frames of a video, and into its file.
struct Extras {
  bool contact_sheet = true;
  std::string side_car;   ///< text of the JSON file; empty: none
  kinema::io::Tags tags;
};

/// Where the side-car of an output belongs: v.mp4.json.
inline std::string side_car_path(const std::string& output) { return output + ".json"; }

/// Where previews of an output belong: v.mp4.preview.png.
inline std::string preview_path(const std::string& output) { return output + std::string(kinema::io::detail::preview_suffix); }

/// Refuses a destination that cannot work, before any work: exit 2 for the name, 3 for the place.
void check_video_output(const std::string& path, bool contact_sheet, bool side_car);
void check_latents_output(const std::string& path);

/// Latents with how they are to be read: layout "pipeline" [B, F, C, h, w] scaled, or "vae" [1, C, f, h, w] unscaled;
/// `document` describes what they were made from, or is empty.
void write_latents(const std::string& path, const kinema::Tensor<>& latents, const std::string& layout, std::int64_t surplus, const std::string& document = "");

/// "path\n" on stdout.
void print_path(const std::string& path);

/// The output of one video: the file itself, contact sheet and side-car beside it. They appear together, in finish().
class VideoOutput {
 public:
  VideoOutput(const std::string& path, std::int64_t frames, double fps, const Extras& extras);
  ~VideoOutput();
  /// f32 [n, H, W, 3] in [0, 1].
  void add(const kinema::Tensor<>& frames);
  void finish();
  /// What finish() wrote.
  std::vector<std::string> paths() const;

 private:
  std::string sheet_path_, side_car_path_, side_car_;
  std::unique_ptr<kinema::io::FrameSink> sink_;
  std::unique_ptr<kinema::io::ContactSheet> sheet_;
};

}  // namespace program
