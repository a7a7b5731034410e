// kinema/model/cogvideox/rope.hpp - positions of video tokens: rotary tables and the sin-cos table.
//
// Everything here is evaluated as the reference evaluates it (f32 grids and angles; f64 for the sin-cos table), because
// at large positions one rounding of an angle is the largest error of a whole forward pass.
#pragma once

#include <kinema/model/cogvideox/config.hpp>
#include <kinema/tensor/create.hpp>

#include <cmath>
#include <vector>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Patch grid of a clip: latent frames, rows and columns divided by the patch sizes.
struct Grid {
  std::int64_t frames, height, width;
  std::int64_t tokens() const { return frames * height * width; }
};

/// The grid of F×H×W latents. Throws ShapeError if the patch sizes do not divide them.
inline Grid patch_grid(const TransformerConfig& c, std::int64_t f, std::int64_t h, std::int64_t w) {
  const std::int64_t p = c.patch_size, pt = c.temporal_patch();
  if (h % p != 0 || w % p != 0) throw ShapeError(cat("transformer: latent height and width must be multiples of ", p, ", got ", h, "x", w));
  if (f % pt != 0) throw ShapeError(cat("transformer: latent frames must be a multiple of ", pt, ", got ", f));
  return {f / pt, h / p, w / p};
}

/// cos and sin, f32 [tokens, head width]; both without value if the model has no rotary embedding.
struct RotaryTable {
  Tensor<> cos, sin;
};

namespace detail {

/// torch.linspace in f32: both halves are counted from their own end.
inline std::vector<float> linspace(double first, double last, std::int64_t n) {
  const auto start = static_cast<float>(first), end = static_cast<float>(last);
  std::vector<float> v(static_cast<std::size_t>(n), start);
  if (n == 1) return v;
  const float step = (end - start) / static_cast<float>(n - 1);
  for (std::int64_t i = 0; i < n; ++i)
    v[static_cast<std::size_t>(i)] = i < n / 2 ? start + step * static_cast<float>(i) : end - step * static_cast<float>(n - 1 - i);
  return v;
}

inline std::vector<float> integers(std::int64_t n) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i);
  return v;
}

/// Python's round(): half to even.
inline std::int64_t round_even(double x) { return static_cast<std::int64_t>(std::nearbyint(x)); }

struct AxisPositions {
  std::vector<float> t, h, w;
};

/// 1.0 scales the runtime grid into the trained one (and scales the absolute coordinate, as the reference does);
/// 1.5 counts patches.
inline AxisPositions axis_positions(const TransformerConfig& c, const Grid& grid) {
  if (c.patch_size_t) return {integers(grid.frames), integers(grid.height), integers(grid.width)};
  const std::int64_t th = c.sample_height / c.patch_size, tw = c.sample_width / c.patch_size;
  const auto h = static_cast<double>(grid.height), w = static_cast<double>(grid.width);
  std::int64_t rows = th, columns = tw;
  if (h / w > static_cast<double>(th) / static_cast<double>(tw)) columns = round_even(static_cast<double>(th) / h * w);
  else rows = round_even(static_cast<double>(tw) / w * h);
  const std::int64_t top = round_even(static_cast<double>(th - rows) / 2.0), left = round_even(static_cast<double>(tw - columns) / 2.0);
  return {integers(grid.frames), linspace(static_cast<double>(top), static_cast<double>(top + rows) * (h - 1) / h, grid.height),
          linspace(static_cast<double>(left), static_cast<double>(left + columns) * (w - 1) / w, grid.width)};
}

/// Angles of one axis: [positions, width / 2], f32.
inline std::vector<float> axis_angles(const std::vector<float>& positions, std::int64_t width) {
  const std::int64_t half = width / 2;
  std::vector<float> angles;
  angles.reserve(positions.size() * static_cast<std::size_t>(half));
  for (float p : positions)
    for (std::int64_t k = 0; k < half; ++k)
      angles.push_back(p * (1.0f / std::pow(10000.0f, static_cast<float>(2 * k) / static_cast<float>(width))));
  return angles;
}

}  // namespace detail

/// Rotary tables of an F×H×W latent clip: head width split t | h | w = 1/4 | 3/8 | 3/8, every angle twice in a row.
/// Source: diffusers get_3d_rotary_pos_embed, get_resize_crop_region_for_grid.
inline RotaryTable rotary_table(const TransformerConfig& c, std::int64_t f, std::int64_t h, std::int64_t w) {
  if (!c.use_rotary_positional_embeddings) return {};
  const Grid grid = patch_grid(c, f, h, w);
  const std::int64_t d = c.attention_head_dim, dt = d / 4, ds = d / 8 * 3;
  const detail::AxisPositions at = detail::axis_positions(c, grid);
  const std::vector<float> t_angles = detail::axis_angles(at.t, dt), h_angles = detail::axis_angles(at.h, ds), w_angles = detail::axis_angles(at.w, ds);

  RotaryTable table{empty({grid.tokens(), d}, DType::f32), empty({grid.tokens(), d}, DType::f32)};
  float* cos = table.cos.data<float>();
  float* sin = table.sin.data<float>();
  const auto put = [&](const std::vector<float>& angles, std::int64_t row, std::int64_t width) {
    for (std::int64_t k = 0; k < width / 2; ++k) {
      const float a = angles[static_cast<std::size_t>(row * (width / 2) + k)];
      *cos++ = std::cos(a), *cos++ = std::cos(a);
      *sin++ = std::sin(a), *sin++ = std::sin(a);
    }
  };
  for (std::int64_t i = 0; i < grid.frames; ++i)
    for (std::int64_t j = 0; j < grid.height; ++j)
      for (std::int64_t k = 0; k < grid.width; ++k) put(t_angles, i, dt), put(h_angles, j, ds), put(w_angles, k, ds);
  return table;
}

/// The sin-cos table of the joint sequence, f32 [text + tokens, D]: zero rows for the text; then per token
/// temporal D/4 | column 3D/8 | row 3D/8, each all sines then all cosines.
/// Source: diffusers get_3d_sincos_pos_embed (column before row).
inline Tensor<> sincos_table(const TransformerConfig& c, std::int64_t f, std::int64_t h, std::int64_t w) {
  const Grid grid = patch_grid(c, f, h, w);
  const std::int64_t d = c.width(), text = c.max_text_seq_length;
  Tensor<> table = zeros({text + grid.tokens(), d}, DType::f32);
  float* out = table.data<float>() + text * d;
  const auto part = [&](float position, std::int64_t width) {
    const std::int64_t half = width / 2;
    for (std::int64_t k = 0; k < half; ++k) {
      const double angle = position * (1.0 / std::pow(10000.0, static_cast<double>(k) / static_cast<double>(half)));
      out[k] = static_cast<float>(std::sin(angle));
      out[half + k] = static_cast<float>(std::cos(angle));
    }
    out += width;
  };
  const auto space = static_cast<float>(c.spatial_interpolation_scale), time = static_cast<float>(c.temporal_interpolation_scale);
  for (std::int64_t i = 0; i < grid.frames; ++i)
    for (std::int64_t j = 0; j < grid.height; ++j)
      for (std::int64_t k = 0; k < grid.width; ++k) {
        part(static_cast<float>(i) / time, d / 4);
        part(static_cast<float>(k) / space, d / 8 * 3);
        part(static_cast<float>(j) / space, d / 8 * 3);
      }
  return table;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
