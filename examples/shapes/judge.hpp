// examples/shapes/judge.hpp - looks at a clip of a moving shape and says what is in it.
//
// No network: background, object colour, outline and path are measured. The thresholds were chosen so that true clips
// pass at 32 and 64 pixels, also slightly blurred, and that anything a viewer would call unclear fails.
#pragma once

#include <kinema/data/shapes_caption.hpp>

#include <optional>
#include <string>

namespace shapes {

/// What the judge sees. Lengths in 64ths of the shorter side of the frame.
struct Sight {
  bool object = false;                                      ///< there is one in every frame
  std::size_t color = 0, background = 0;                    ///< nearest entries of the palettes
  kinema::data::shapes::Figure likely = {};                 ///< the outline that fits best
  double fit = 0;                                           ///< its overlap with the object, 1: perfect; mean over frames
  double ghost = 0;                                         ///< share of the object's colour that is elsewhere; mean over frames
  std::optional<kinema::data::shapes::Figure> figure;       ///< absent: no clear outline, or a ghost
  std::optional<kinema::data::shapes::Motion> motion;       ///< absent: none of the motions; Motion::none for one frame
  double radius = 0;                                        ///< of the circle of equal area; mean over frames
  double dx = 0, dy = 0, log_scale = 0, turn_degrees = 0;   ///< from the first frames to the last
};

/// u8 or f32 (in [0, 1]) [F, H, W, 3].
Sight look(const kinema::Tensor<>& clip);

/// Which attributes of a caption a clip has. What the caption does not say counts as right.
struct Verdict {
  bool color = false, figure = false, motion = false, background = false, size = false;
  bool all() const { return color && figure && motion && background && size; }
};
Verdict judge(const Sight& sight, const kinema::data::shapes::Attributes& asked);

/// "red circle moves right on black (r 10.4, fit 0.97)"
std::string to_string(const Sight& sight);

}  // namespace shapes
