// kinema/model/cogvideox/geometry.hpp - from the size that is asked for to latent sizes, with the rules that hold.
#pragma once

#include <kinema/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <string>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Sizes beyond these are refused before any arithmetic on them; released models were trained for 161 frames of 768x1360.
inline constexpr std::int64_t max_frames = 1025, max_side = 8192;  ///< pixels

/// Factors between pixels and latents, from the configurations.
struct Factors {
  std::int64_t space = 8;           ///< pixels per latent
  std::int64_t time = 4;            ///< frames per latent frame
  std::int64_t patch = 2;           ///< latents per token, rows and columns
  std::int64_t temporal_patch = 1;  ///< latent frames per token
};

/// A clip's size in pixels and in latents.
struct ClipSize {
  std::int64_t frames, height, width;                       ///< pixels, as asked for
  std::int64_t latent_frames, latent_height, latent_width;  ///< latents that the transformer sees
  std::int64_t surplus;                                     ///< leading latent frames that are dropped before decoding
  std::int64_t decoded_frames;                              ///< frames that come out
};

/// Frames that n latent frames decode to: an odd count gives 4(n−1)+1; an even one has no single first frame, 4n.
inline std::int64_t decoded_frames(std::int64_t latents, std::int64_t time = 4) {
  return latents % 2 == 1 ? time * (latents - 1) + 1 : time * latents;
}

namespace detail {
inline void require_side(std::string_view name, std::int64_t value, std::int64_t multiple) {
  if (value >= 1 && value <= max_side && value % multiple == 0) return;
  const std::int64_t most = max_side / multiple * multiple, near = std::clamp<std::int64_t>(value, multiple, most);
  const std::int64_t below = near / multiple * multiple, above = std::min(below + multiple, most);
  const std::int64_t nearest = near - below <= above - near ? below : above;
  throw ArgumentError(cat(name, ": must be a positive multiple of ", multiple, " (at most ", max_side, "), got ", value, "; nearest is ", nearest));
}
}  // namespace detail

/// Checks a size against the rules of the model. Throws ArgumentError with the rule and the nearest valid value.
inline ClipSize clip_size(const Factors& k, std::int64_t frames, std::int64_t height, std::int64_t width) {
  detail::require_side("height", height, k.space * k.patch);
  detail::require_side("width", width, k.space * k.patch);
  if (frames < 1 || frames > max_frames || (frames - 1) % k.time != 0) {
    const std::int64_t step = 2 * k.time, n = std::clamp<std::int64_t>(frames, 1, max_frames);
    const std::int64_t below = (n - 1) / step * step + 1, nearest = n - below <= step / 2 ? below : below + step;
    throw ArgumentError(cat("num-frames: must be ", step, "N+1 (1, ", step + 1, ", ", 2 * step + 1, ", …, at most ", max_frames, "), got ", frames, "; nearest is ", nearest));
  }
  const std::int64_t latents = (frames - 1) / k.time + 1;
  const std::int64_t surplus = (k.temporal_patch - latents % k.temporal_patch) % k.temporal_patch;
  return {frames, height, width, latents + surplus, height / k.space, width / k.space, surplus, decoded_frames(latents, k.time)};
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
