// kinema/model/cogvideox/vae_config.hpp - what config.json says about the VAE, and the rules of its chunks and tiles.
#pragma once

#include <kinema/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// The one type of block that a CogVideoX VAE has on the way down.
inline constexpr const char* vae_down_block = "CogVideoXDownBlock3D";
/// The one type of block that a CogVideoX VAE has on the way up.
inline constexpr const char* vae_up_block = "CogVideoXUpBlock3D";

/// Fields of vae/config.json, under the reference's names; absent fields keep the defaults below.
/// Source: diffusers AutoencoderKLCogVideoX.__init__.
struct VaeConfig {
  std::int64_t in_channels = 3, out_channels = 3;
  std::int64_t latent_channels = 16;
  std::vector<std::int64_t> block_out_channels{128, 256, 256, 512};
  std::int64_t layers_per_block = 3;      ///< residual blocks per level of the encoder; the decoder has one more
  double norm_eps = 1e-6;                 ///< of the encoder's residual blocks; every other norm uses 1e-6
  std::int64_t norm_num_groups = 32;
  double temporal_compression_ratio = 4;  ///< frames per latent frame, a power of two
  std::int64_t sample_height = 480, sample_width = 720;  ///< pixels; half of them is the default tile
  double scaling_factor = 1.15258426;
  bool invert_scale_latents = false;
  std::string act_fn = "silu";
  bool use_quant_conv = false, use_post_quant_conv = false;

  std::int64_t levels() const { return static_cast<std::int64_t>(block_out_channels.size()); }
  /// Levels that halve the frame rate, counted from the pixels (encoder) or from the latents (decoder).
  std::int64_t temporal_levels() const {
    std::int64_t n = 0;
    for (double r = temporal_compression_ratio; r >= 2; r /= 2) ++n;
    return n;
  }
  std::int64_t space_factor() const { return std::int64_t{1} << (levels() - 1); }  ///< pixels per latent
  std::int64_t time_factor() const { return std::int64_t{1} << std::min(temporal_levels(), levels() - 1); }  ///< frames per latent frame
};

/// Throws ConfigError with the field's name if the configuration does not describe a VAE that can be built.
inline void validate(const VaeConfig& c) {
  const auto require = [](bool holds, const auto&... what) {
    if (!holds) throw ConfigError(cat(what...));
  };
  constexpr std::int64_t widest = 1 << 16, deepest = 64;
  const auto in = [](std::int64_t v, std::int64_t most) { return v >= 1 && v <= most; };
  require(in(c.in_channels, widest), "in_channels: must be 1 to ", widest, ", got ", c.in_channels);
  require(in(c.out_channels, widest), "out_channels: must be 1 to ", widest, ", got ", c.out_channels);
  require(in(c.latent_channels, widest), "latent_channels: must be 1 to ", widest, ", got ", c.latent_channels);
  require(in(c.levels(), 16), "block_out_channels: must have 1 to 16 entries, got ", c.levels());
  require(in(c.norm_num_groups, widest), "norm_num_groups: must be 1 to ", widest, ", got ", c.norm_num_groups);
  for (const std::int64_t n : c.block_out_channels) {
    require(in(n, widest), "block_out_channels: must be 1 to ", widest, ", got ", n);
    require(n % c.norm_num_groups == 0, "block_out_channels: must be multiples of norm_num_groups (", c.norm_num_groups, "), got ", n);
  }
  require(in(c.layers_per_block, deepest), "layers_per_block: must be 1 to ", deepest, ", got ", c.layers_per_block);
  require(c.norm_eps > 0 && c.norm_eps < 1, "norm_eps: must be between 0 and 1, got ", c.norm_eps);
  const double ratio = c.temporal_compression_ratio;
  bool power = false;
  for (double p = 1; p <= 256; p *= 2) power = power || ratio == p;
  require(power, "temporal_compression_ratio: must be a power of two up to 256, got ", ratio);
  require(in(c.sample_height, widest) && in(c.sample_width, widest), "sample_height, sample_width: must be 1 to ", widest, ", got ",
          c.sample_height, " and ", c.sample_width);
  require(c.scaling_factor > 0 && c.scaling_factor < 1e6, "scaling_factor: must be positive, got ", c.scaling_factor);
  require(c.act_fn == "silu", "act_fn: must be silu, got ", printable(c.act_fn));
  require(!c.use_quant_conv && !c.use_post_quant_conv, "use_quant_conv, use_post_quant_conv: must be false; no CogVideoX VAE has these layers");
}

/// Frames [begin, end) that go through the network together.
struct FrameRange {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

/// Chunks of T frames for a batch size in frames: the first takes the remainder too, the others are full.
/// Source: diffusers AutoencoderKLCogVideoX._encode, _decode.
inline std::vector<FrameRange> frame_chunks(std::int64_t T, std::int64_t batch) {
  std::vector<FrameRange> chunks;
  const std::int64_t n = std::max<std::int64_t>(T / batch, 1), rest = T % batch;
  for (std::int64_t k = 0; k < n; ++k)
    chunks.push_back({batch * k + (k == 0 ? 0 : rest), std::min(T, batch * (k + 1) + rest)});
  return chunks;
}

/// Frames after one temporal level, down or up: an odd count keeps its first frame apart, a single frame stays single.
inline std::int64_t halved_frames(std::int64_t T) { return (T + 1) / 2; }
inline std::int64_t doubled_frames(std::int64_t T) { return T > 1 ? 2 * T - T % 2 : T; }  ///< up

/// Frames that a chunk of T frames becomes, pixels to latents or back.
inline std::int64_t encoded_chunk(const VaeConfig& c, std::int64_t T) {
  for (std::int64_t f = c.time_factor(); f > 1; f /= 2) T = halved_frames(T);
  return T;
}
inline std::int64_t decoded_chunk(const VaeConfig& c, std::int64_t T) {  ///< latents to pixels
  for (std::int64_t f = c.time_factor(); f > 1; f /= 2) T = doubled_frames(T);
  return T;
}

/// Spatial tiles: their size in pixels (0: half of the configuration's sample size) and how much of it overlaps.
struct VaeTile {
  std::int64_t height = 0, width = 0;
  double overlap_height = 1.0 / 6.0, overlap_width = 1.0 / 5.0;
};

/// One axis of a tiling, in units of what goes in (size, tile, stride) and of what comes out (blend, keep).
struct TileAxis {
  std::int64_t size, tile, stride, blend, keep;
  std::int64_t count() const { return (size + stride - 1) / stride; }
  std::int64_t begin(std::int64_t i) const { return i * stride; }
  std::int64_t extent(std::int64_t i) const { return std::min(tile, size - i * stride); }
};

/// The tiling of an axis of `size` pixels (encode) or latents (decode), `tile` in pixels. Rounds as the reference does.
/// Throws ArgumentError if the axis would be split and the parts would not add up to the right size.
/// Source: diffusers AutoencoderKLCogVideoX.tiled_encode, tiled_decode.
inline TileAxis tile_axis(std::string_view name, bool encode, std::int64_t size, std::int64_t tile, double overlap, std::int64_t factor) {
  const auto part = [](std::int64_t n, double share) { return static_cast<std::int64_t>(static_cast<double>(n) * share); };
  const std::int64_t latent = tile / factor;
  if (tile < factor || !(overlap >= 0 && overlap < 1))
    throw ArgumentError(cat("vae tiles: ", name, " must be at least ", factor, " pixels with an overlap in [0, 1), got ", tile, " and ", overlap));
  const std::int64_t pixel_stride = part(tile, 1 - overlap), latent_stride = part(latent, 1 - overlap);
  const TileAxis a = encode ? TileAxis{size, tile, pixel_stride, part(latent, overlap), latent - part(latent, overlap)}
                            : TileAxis{size, latent, latent_stride, part(tile, overlap), tile - part(tile, overlap)};
  const bool adds_up = a.stride > 0 && (encode ? a.keep * factor == a.stride : a.keep == a.stride * factor);
  if (a.stride <= 0 || (size > a.stride && !adds_up))
    throw ArgumentError(cat("vae tiles: a ", name, " of ", tile, " pixels with an overlap of ", overlap, " does not cut into whole latents of ", factor,
                            " pixels; with the default overlaps take multiples of 48 rows and 40 columns"));
  return a;
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
