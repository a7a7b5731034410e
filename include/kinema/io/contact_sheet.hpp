// kinema/io/contact_sheet.hpp - a clip at one glance: up to sixteen frames, evenly picked, in a grid.
#pragma once

#include <kinema/io/frames.hpp>

namespace kinema::inline KINEMA_ABI::io {

/// Where the contact sheet of an output belongs: "v.mp4" → "v_contact_sheet.png", "f_%05d.png" → "f_contact_sheet.png".
inline std::filesystem::path contact_sheet_path(const std::filesystem::path& output) {
  std::string stem = output.stem().native();
  const std::size_t percent = stem.find('%');
  if (percent != std::string::npos) {
    stem.resize(percent);
    while (!stem.empty() && (stem.back() == '_' || stem.back() == '-' || stem.back() == '.')) stem.pop_back();
    if (stem.empty()) stem = "frames";
  }
  return output.parent_path() / (stem + std::string(detail::contact_sheet_suffix));
}

/// Collects the picked frames while a clip is being made; keeps only small copies of them.
class ContactSheet {
 public:
  static constexpr std::int64_t most_frames = 16;
  static constexpr std::int64_t cell_pixels = 320;      ///< longer side of a frame that was made smaller
  static constexpr std::int64_t smallest_pixels = 128;  ///< smaller frames are enlarged in whole steps, pixel by pixel
  static constexpr std::int64_t line_pixels = 2;
  static constexpr std::uint8_t line_grey = 64;

  /// `expected`: how many frames the clip will have; decides which ones are picked, first and last included.
  explicit ContactSheet(std::int64_t expected) : expected_(std::max<std::int64_t>(expected, 1)) {}

  /// Frames in order, as FrameSink::add takes them.
  void add(const Tensor<>& frames) {
    detail::expect_frames("contact sheet", frames);
    if (frames.rank() == 3) return add_one(frames);
    for (std::int64_t f = 0; f < frames.size(0); ++f) add_one(select(frames, 0, f));
  }
  /// The grid, u8 [H, W, 3]. Throws ArgumentError if there was no frame.
  Tensor<> picture() const {
    if (cells_.empty()) throw ArgumentError("contact sheet: no frame was added");
    const auto count = static_cast<std::int64_t>(cells_.size());
    std::int64_t columns = 1;
    while (columns * columns < count) ++columns;
    const std::int64_t rows = (count + columns - 1) / columns, h = cells_[0].size(0), w = cells_[0].size(1);
    Tensor<> out = full({rows * (h + line_pixels) - line_pixels, columns * (w + line_pixels) - line_pixels, 3},
                        line_grey, DType::u8);
    for (std::int64_t i = 0; i < count; ++i) {
      const Tensor<>& cell = cells_[static_cast<std::size_t>(i)];
      const std::int64_t top = i / columns * (h + line_pixels), left = i % columns * (w + line_pixels);
      for (std::int64_t y = 0; y < h; ++y)
        std::memcpy(out.data<std::uint8_t>() + ((top + y) * out.size(1) + left) * 3,
                    cell.data<std::uint8_t>() + y * w * 3, static_cast<std::size_t>(w) * 3);
    }
    return out;
  }
  /// Writes the grid as PNG, atomically.
  void write(const std::filesystem::path& path) const { write_png(path, picture()); }

 private:
  bool is_picked(std::int64_t frame) const {
    const std::int64_t picks = std::min(expected_, most_frames);
    if (picks == 1) return frame == 0;
    for (std::int64_t i = 0; i < picks; ++i)
      if (frame == (i * (expected_ - 1) + (picks - 1) / 2) / (picks - 1)) return true;
    return false;
  }
  void add_one(const Tensor<>& frame) {
    if (!is_picked(count_++)) return;
    Tensor<> cell = fitted(picture_to_u8(frame, cat("contact sheet: frame ", count_ - 1)));
    if (!cells_.empty() && !(cell.shape() == cells_[0].shape()))
      throw ShapeError(cat("contact sheet: frames of different sizes, ", frame.shape()));
    cells_.push_back(std::move(cell));
  }
  static Tensor<> fitted(const Tensor<>& t) {
    const std::int64_t h = t.size(0), w = t.size(1), longer = std::max(h, w);
    if (longer > cell_pixels)
      return resize_lanczos(t, std::max<std::int64_t>((w * cell_pixels + longer / 2) / longer, 1),
                            std::max<std::int64_t>((h * cell_pixels + longer / 2) / longer, 1));
    const std::int64_t times = (smallest_pixels + longer - 1) / longer;
    if (times <= 1) return t;
    Tensor<> out = empty({h * times, w * times, 3}, DType::u8);
    auto* to = out.data<std::uint8_t>();
    for (std::int64_t y = 0; y < h * times; ++y)
      for (std::int64_t x = 0; x < w * times; ++x, to += 3)
        std::memcpy(to, t.data<std::uint8_t>() + (y / times * w + x / times) * 3, 3);
    return out;
  }

  std::int64_t expected_, count_ = 0;
  std::vector<Tensor<>> cells_;
};

}  // namespace kinema::inline KINEMA_ABI::io
