// kinema/io/palette.hpp - 256 colours for a picture that has more: median cut, and a dither that stays still in a clip.
//
// Source: P. Heckbert, "Color image quantization for frame buffer display" (1982), cutting at the mean the box with the largest
// squared error; ordered dither with Bayer's matrix, because error diffusion crawls from frame to frame.
#pragma once

#include <kinema/tensor/create.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace kinema::inline KINEMA_ABI::io::detail {

/// A picture as indices into its own colours.
struct Paletted {
  static constexpr std::size_t most_colours = 255;  ///< one of 256 is left for "as in the frame before"

  std::vector<std::array<std::uint8_t, 3>> colours;
  std::vector<std::uint8_t> index;  ///< height × width

  /// u8 [H, W, 3], contiguous.
  explicit Paletted(const Tensor<>& image) {
    const std::int64_t height = image.size(0), width = image.size(1);
    const auto* pixels = image.data<std::uint8_t>();
    choose_colours(pixels, height * width);
    index.resize(static_cast<std::size_t>(height * width));
    std::vector<std::int16_t> nearest(cells, -1);  // of a cell of colours, found when it is first met
    // Dither by what separates neighbouring colours, and not at all where every colour has its own entry.
    const int strength = exact_ ? 0 : 12;
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x, pixels += 3) {
        const int shift = (bayer[y & 7][x & 7] * 2 - 63) * strength / 128;
        int c[3];
        for (int i = 0; i < 3; ++i) c[i] = std::clamp(pixels[i] + shift, 0, 255);
        std::int16_t& found = nearest[cell(c[0], c[1], c[2])];
        if (found < 0) found = nearest_to(c);
        index[static_cast<std::size_t>(y * width + x)] = static_cast<std::uint8_t>(found);
      }
    }
  }

 private:
  static constexpr std::size_t cells = std::size_t{1} << 18;  // six bits of each channel
  static constexpr int bayer[8][8] = {{0, 32, 8, 40, 2, 34, 10, 42},  {48, 16, 56, 24, 50, 18, 58, 26}, {12, 44, 4, 36, 14, 46, 6, 38},
                                      {60, 28, 52, 20, 62, 30, 54, 22}, {3, 35, 11, 43, 1, 33, 9, 41},  {51, 19, 59, 27, 49, 17, 57, 25},
                                      {15, 47, 7, 39, 13, 45, 5, 37},   {63, 31, 55, 23, 61, 29, 53, 21}};

  struct Cell {
    std::uint32_t count = 0;
    std::array<std::uint64_t, 3> sum{};
    double mean(std::size_t channel) const { return static_cast<double>(sum[channel]) / count; }
  };
  struct Box {
    std::size_t begin, end, widest;
    double error, cut;
  };

  static std::size_t cell(int r, int g, int b) { return static_cast<std::size_t>((r >> 2) << 12 | (g >> 2) << 6 | b >> 2); }

  void choose_colours(const std::uint8_t* pixels, std::int64_t count) {
    std::vector<Cell> all(cells);
    for (std::int64_t i = 0; i < count; ++i, pixels += 3) {
      Cell& c = all[cell(pixels[0], pixels[1], pixels[2])];
      ++c.count;
      for (std::size_t k = 0; k < 3; ++k) c.sum[k] += pixels[k];
    }
    std::vector<Cell> used;
    for (const Cell& c : all)
      if (c.count > 0) used.push_back(c);
    exact_ = used.size() <= most_colours;
    std::vector<Box> boxes{box(used, 0, used.size())};
    while (boxes.size() < std::min(most_colours, used.size())) {
      const auto worst = std::max_element(boxes.begin(), boxes.end(), [](const Box& a, const Box& b) { return a.error < b.error; });
      const Box b = *worst;
      if (b.end - b.begin < 2) break;
      const auto first = used.begin() + static_cast<std::ptrdiff_t>(b.begin), last = used.begin() + static_cast<std::ptrdiff_t>(b.end);
      const auto middle = std::stable_partition(first, last, [&](const Cell& c) { return c.mean(b.widest) <= b.cut; });
      const auto at = static_cast<std::size_t>(middle - used.begin());
      if (at == b.begin || at == b.end) break;  // equal colours
      *worst = box(used, b.begin, at);
      boxes.push_back(box(used, at, b.end));
    }
    for (const Box& b : boxes) {
      Cell sum;
      for (std::size_t i = b.begin; i < b.end; ++i) {
        sum.count += used[i].count;
        for (std::size_t k = 0; k < 3; ++k) sum.sum[k] += used[i].sum[k];
      }
      std::array<std::uint8_t, 3> colour{};
      for (std::size_t k = 0; k < 3; ++k) colour[k] = static_cast<std::uint8_t>(sum.mean(k) + 0.5);
      colours.push_back(colour);
    }
  }
  /// The cells [begin, end), the channel that varies most, and where to cut it.
  static Box box(const std::vector<Cell>& used, std::size_t begin, std::size_t end) {
    Box b{begin, end, 0, -1, 0};
    double total = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      double n = 0, sum = 0, squares = 0;
      for (std::size_t i = begin; i < end; ++i) {
        const double w = used[i].count, v = used[i].mean(k);
        n += w;
        sum += w * v;
        squares += w * v * v;
      }
      const double error = squares - sum * sum / n;
      total += error;
      if (k == 0 || error > b.error) b = {begin, end, k, error, sum / n};
    }
    b.error = end - begin < 2 ? -1 : total;
    return b;
  }
  std::int16_t nearest_to(const int c[3]) const {
    std::size_t best = 0;
    int least = INT32_MAX;
    for (std::size_t i = 0; i < colours.size(); ++i) {
      int distance = 0;
      for (std::size_t k = 0; k < 3; ++k) distance += (colours[i][k] - c[k]) * (colours[i][k] - c[k]);
      if (distance < least) least = distance, best = i;
    }
    return static_cast<std::int16_t>(best);
  }
  bool exact_ = false;
};

}  // namespace kinema::inline KINEMA_ABI::io::detail
