// kinema/data/shapes.hpp - a procedural dataset: one coloured shape that moves over a plain background.
//
// Everything about a clip is in its Scene, and a scene is a pure function of a seed and options, so a dataset is a
// number. Coordinates are in 64ths of the shorter side of the frame, x to the right and y down; pixels only enter in
// render(). So the same scene can be drawn at any size and with any number of frames.
#pragma once

#include <kinema/runtime/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::data::shapes {
/// A colour and the word for it in captions.
struct Paint {
  std::string_view name;
  std::array<double, 3> rgb;  ///< 0 … 255
};
inline constexpr std::array<Paint, 8> colors = {{{"red", {225, 45, 45}},
                                                 {"orange", {245, 140, 30}},
                                                 {"yellow", {245, 220, 60}},
                                                 {"green", {60, 180, 75}},
                                                 {"blue", {50, 90, 225}},
                                                 {"purple", {150, 60, 200}},
                                                 {"pink", {250, 140, 190}},
                                                 {"white", {245, 245, 245}}}};  ///< of objects
inline constexpr std::array<Paint, 6> backgrounds = {{{"black", {22, 22, 28}},
                                                      {"gray", {125, 125, 130}},
                                                      {"white", {232, 232, 236}},
                                                      {"blue", {38, 66, 150}},
                                                      {"green", {36, 105, 60}},
                                                      {"purple", {92, 50, 128}}}};  ///< behind them
/// What moves.
enum class Figure : std::uint8_t { circle, square, triangle, star };
inline constexpr std::array<std::string_view, 4> figure_names = {"circle", "square", "triangle", "star"};  ///< words of captions
/// What it does.
enum class Motion : std::uint8_t { left, right, up, down, grow, shrink, spin, still, none };  ///< none: a single picture
inline constexpr std::array<std::string_view, 9> motion_names = {"left", "right", "up", "down", "grow", "shrink", "spin", "still", "none"};  ///< in the order of Motion
/// What captions say about its size.
enum class SizeName : std::uint8_t { unnamed, small, large };
inline constexpr std::array<std::string_view, 3> size_names = {"unnamed", "small", "large"};  ///< in the order of SizeName

inline std::string_view to_string_view(Figure f) { return figure_names[static_cast<std::size_t>(f)]; }  ///< its word
inline std::string_view to_string_view(Motion m) { return motion_names[static_cast<std::size_t>(m)]; }  ///< its word
inline std::string_view to_string_view(SizeName s) { return size_names[static_cast<std::size_t>(s)]; }  ///< its word

inline constexpr double frame_units = 64;        ///< of the shorter side
inline constexpr double default_frame_rate = 8;  ///< frames per second

/// Which part of the vocabulary scenes are drawn from. Core is what the smallest model must know: no sizes, no stars, no
/// shrinking or spinning, six object colours, three backgrounds.
enum class Vocabulary : std::uint8_t { full, core };

inline bool contains(Vocabulary v, std::size_t color) { return v == Vocabulary::full || (color != 4 && color != 5); }  ///< whether objects of this colour are drawn
inline bool contains_background(Vocabulary v, std::size_t b) { return v == Vocabulary::full || b == 0 || b == 2 || b == 3; }  ///< whether this background is
inline bool contains(Vocabulary v, Figure f) { return v == Vocabulary::full || f != Figure::star; }  ///< whether this figure is
inline bool contains(Vocabulary v, Motion m) { return v == Vocabulary::full || (m != Motion::shrink && m != Motion::spin); }  ///< whether this motion is

/// A circle that spins cannot be seen to.
inline bool is_possible(Figure f, Motion m) { return !(f == Figure::circle && m == Motion::spin); }

/// Combinations of colour, shape and motion that are kept out of training, to see whether a model combines.
/// `rule`: (colour + 3 shape + 5 motion) mod 10 = 0 with the places in the lists above, 27 of the 248 possible triples.
/// It takes whole blocks (the only held-out stars are orange and pink), hence `random`: a fixed tenth without structure.
enum class HoldOut : std::uint8_t { rule, random };
inline bool is_held_out(std::size_t color, Figure f, Motion m, HoldOut how = HoldOut::rule) {  ///< whether a combination is kept out
  if (m == Motion::none) return false;
  const std::size_t s = static_cast<std::size_t>(f), k = static_cast<std::size_t>(m);
  if (how == HoldOut::rule) return (color + 3 * s + 5 * k) % 10 == 0;
  return philox(0x5ca1ab20, (color * figure_names.size() + s) * motion_names.size() + k).word[0] % 10 == 0;
}

/// What is asked of the scenes of a dataset.
struct SceneOptions {
  enum class Triples : std::uint8_t { trained, held_out, all };
  Vocabulary vocabulary = Vocabulary::full;
  Triples triples = Triples::trained;
  HoldOut hold_out = HoldOut::rule;
  double degradation = 0;  ///< standard deviation of the noise in the worst clip, of pixels in [0, 1]; see Scene::quality
};

/// One clip. Lengths in units.
struct Scene {
  std::size_t color = 0, background = 0;  ///< places in `colors` and `backgrounds`
  Figure figure = Figure::circle;
  Motion motion = Motion::still;
  SizeName size = SizeName::unnamed;
  double x = 32, y = 32;                        ///< centroid in the middle of the clip
  double dx = 0, dy = 0;                        ///< how far it moves over the clip
  double start_radius = 10, end_radius = 10;    ///< of the circle of equal area
  double turn = 0;                              ///< radians over the clip, clockwise
  double quality = 1;                           ///< 1: clean; noise grows linearly to `degradation` at 0
  double noise = 0;                             ///< its standard deviation
  std::uint64_t noise_seed = 0;
};

/// How far a figure of radius 1 reaches from its centroid.
struct Extent { double left, right, up, down; };

inline constexpr double pi = 3.14159265358979323846;  ///< of a circle
inline constexpr double square_half_side = 0.8862;   ///< of the square of area pi
inline constexpr double triangle_inradius = 0.7776;  ///< of the triangle of area pi
inline constexpr double star_radius = 1.54;          ///< to the points of the star of area pi
inline constexpr double star_inner = 0.45;           ///< to its notches, times star_radius
/// Of a figure of radius 1; `turning`: at any angle.
inline Extent extent_of(Figure f, bool turning) {
  const double reach = f == Figure::circle ? 1 : f == Figure::square ? square_half_side * std::sqrt(2.0) : f == Figure::triangle ? 2 * triangle_inradius : star_radius;
  if (turning || f == Figure::circle) return {reach, reach, reach, reach};
  if (f == Figure::square) return {square_half_side, square_half_side, square_half_side, square_half_side};
  if (f == Figure::triangle) return {std::sqrt(3.0) * triangle_inradius, std::sqrt(3.0) * triangle_inradius, 2 * triangle_inradius, triangle_inradius};
  return {star_radius * std::sin(0.4 * pi), star_radius * std::sin(0.4 * pi), star_radius, star_radius * std::cos(0.2 * pi)};
}

namespace detail {

inline double between(Generator& g, double low, double high) { return low + (high - low) * g.uniform(); }

template <class Allowed>
std::size_t choose(Generator& g, std::size_t n, const Allowed& allowed) {
  for (;;) {
    const auto i = static_cast<std::size_t>(g.below(static_cast<std::int64_t>(n)));
    if (allowed(i)) return i;
  }
}

/// Colour, figure and motion, uniform over what the options leave.
inline void choose_triple(Scene& s, Generator& g, const SceneOptions& o, bool moving) {
  using Triples = SceneOptions::Triples;
  for (;;) {
    s.color = choose(g, colors.size(), [&](std::size_t i) { return contains(o.vocabulary, i); });
    s.figure = static_cast<Figure>(choose(g, figure_names.size(), [&](std::size_t i) { return contains(o.vocabulary, static_cast<Figure>(i)); }));
    s.motion = moving ? static_cast<Motion>(choose(g, 8, [&](std::size_t i) { return contains(o.vocabulary, static_cast<Motion>(i)); })) : Motion::none;
    if (!is_possible(s.figure, s.motion)) continue;
    if (o.triples == Triples::all || is_held_out(s.color, s.figure, s.motion, o.hold_out) == (o.triples == Triples::held_out)) return;
  }
}

inline void choose_radius(Scene& s, Generator& g, const SceneOptions& o) {
  if (s.motion == Motion::grow || s.motion == Motion::shrink) {
    const double low = between(g, 7, 7.8), high = between(g, 13.3, 14.5);
    s.start_radius = s.motion == Motion::grow ? low : high;
    s.end_radius = s.motion == Motion::grow ? high : low;
    return;
  }
  if (o.vocabulary == Vocabulary::full && g.below(2) == 1) s.size = g.below(2) == 1 ? SizeName::small : SizeName::large;
  // A picture of a shape without a named size may be a moment of a growing one.
  s.start_radius = s.size == SizeName::small     ? between(g, 7, 8)
                   : s.size == SizeName::large   ? between(g, 13.2, 14.2)
                   : s.motion == Motion::none    ? between(g, 7, 14.5)
                                                 : between(g, 9.7, 11.2);
  s.end_radius = s.start_radius;
}

/// The path keeps the figure inside the frame and is pulled towards its middle.
inline void choose_path(Scene& s, Generator& g, double width, double height) {
  constexpr double margin = 2.5, pull = 0.4;
  const double r = std::max(s.start_radius, s.end_radius);
  const Extent e = extent_of(s.figure, s.motion == Motion::spin);
  const double wish = between(g, 19, 23);
  const double room_x = width - (e.left + e.right) * r - 2 * margin, room_y = height - (e.up + e.down) * r - 2 * margin;
  if (s.motion == Motion::left || s.motion == Motion::right) s.dx = std::min(wish, room_x) * (s.motion == Motion::left ? -1 : 1);
  if (s.motion == Motion::up || s.motion == Motion::down) s.dy = std::min(wish, room_y) * (s.motion == Motion::up ? -1 : 1);
  if (s.motion == Motion::spin) s.turn = 80 * pi / 180;
  const auto place = [&](double low, double high) {
    const double middle = (low + high) / 2;
    return middle + (1 - pull) * (between(g, low, high) - middle);
  };
  const double half_x = std::abs(s.dx) / 2, half_y = std::abs(s.dy) / 2;
  s.x = place(e.left * r + margin + half_x, width - e.right * r - margin - half_x);
  s.y = place(e.up * r + margin + half_y, height - e.down * r - margin - half_y);
}

inline double units_per_pixel(std::int64_t height, std::int64_t width) { return frame_units / static_cast<double>(std::min(height, width)); }

}  // namespace detail

/// Scene number `index` of dataset `seed`, for frames of height×width pixels; only their ratio matters. One frame is a
/// picture: it has no motion. Throws ArgumentError if pictures are asked for with held-out triples only.
inline Scene scene(std::uint64_t seed, std::uint64_t index, std::int64_t frames, std::int64_t height, std::int64_t width, const SceneOptions& o = {}) {
  if (frames < 1 || height < 8 || width < 8) throw ArgumentError(cat("shapes: a clip needs 1 frame and 8x8 pixels or more, got ", frames, " of ", width, "x", height));
  if (frames == 1 && o.triples == SceneOptions::Triples::held_out) throw ArgumentError("shapes: held-out triples are about motion, which a single picture has not");
  Generator g(derived_seed(seed, index));
  const double unit = detail::units_per_pixel(height, width);
  Scene s;
  detail::choose_triple(s, g, o, frames > 1);
  s.background = detail::choose(g, backgrounds.size(), [&](std::size_t b) { return contains_background(o.vocabulary, b) && backgrounds[b].name != colors[s.color].name; });
  detail::choose_radius(s, g, o);
  detail::choose_path(s, g, static_cast<double>(width) * unit, static_cast<double>(height) * unit);
  if (o.degradation > 0) {
    s.quality = g.uniform();
    s.noise = o.degradation * (1 - s.quality);
    s.noise_seed = derived_seed(seed, ~index >> 2);
  }
  return s;
}

/// Signed distance of (x, y), relative to the centroid, to the edge of a figure of radius 1; negative inside.
/// Polygons by distance to their edges and crossing number.
class Outline {
 public:
  explicit Outline(Figure f, double turn = 0) : circle_(f == Figure::circle) {
    const auto corner = [&](double radius, double angle) {  // angle clockwise from the top
      points_[count_++] = {radius * std::sin(angle + turn), -radius * std::cos(angle + turn)};
    };
    if (f == Figure::square)
      for (int i = 0; i < 4; ++i) corner(square_half_side * std::sqrt(2.0), pi / 4 + i * pi / 2);
    if (f == Figure::triangle)
      for (int i = 0; i < 3; ++i) corner(2 * triangle_inradius, i * 2 * pi / 3);
    if (f == Figure::star)
      for (int i = 0; i < 10; ++i) corner(i % 2 == 0 ? star_radius : star_radius * star_inner, i * pi / 5);
  }
  double distance(double x, double y) const {
    if (circle_) return std::sqrt(x * x + y * y) - 1;
    double nearest = 1e30;
    bool inside = false;
    for (std::size_t i = 0, j = count_ - 1; i < count_; j = i++) {
      const Point a = points_[j], b = points_[i];
      const double ex = b.x - a.x, ey = b.y - a.y, px = x - a.x, py = y - a.y;
      const double along = std::clamp((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0);
      const double qx = px - along * ex, qy = py - along * ey;
      nearest = std::min(nearest, qx * qx + qy * qy);
      if ((a.y > y) != (b.y > y) && x < a.x + (y - a.y) / ey * ex) inside = !inside;
    }
    return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
  }

 private:
  struct Point { double x, y; };
  std::array<Point, 10> points_{};
  std::size_t count_ = 0;
  bool circle_;
};

namespace detail {

struct Moment { double x, y, radius, turn; };
/// `at` from 0, the first frame, to 1, the last.
inline Moment moment(const Scene& s, double at) {
  return {s.x + (at - 0.5) * s.dx, s.y + (at - 0.5) * s.dy, s.start_radius + at * (s.end_radius - s.start_radius), at * s.turn};
}

/// f(row, column, coverage, relative height) for every pixel that the object may touch; coverage in [0, 1].
template <class F>
void for_each_object_pixel(const Scene& s, const Moment& m, std::int64_t height, std::int64_t width, const F& f) {
  const double unit = units_per_pixel(height, width), reach = star_radius * m.radius + unit;
  const Outline outline(s.figure, m.turn);
  const auto first = [&](double c) { return std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor((c - reach) / unit))); };
  const auto last = [&](double c, std::int64_t n) { return std::min(n, static_cast<std::int64_t>(std::ceil((c + reach) / unit)) + 1); };
  for (std::int64_t row = first(m.y); row < last(m.y, height); ++row) {
    const double y = ((static_cast<double>(row) + 0.5) * unit - m.y) / m.radius;
    for (std::int64_t column = first(m.x); column < last(m.x, width); ++column) {
      const double x = ((static_cast<double>(column) + 0.5) * unit - m.x) / m.radius;
      const double coverage = std::clamp(0.5 - outline.distance(x, y) * m.radius / unit, 0.0, 1.0);
      if (coverage > 0) f(row, column, coverage, y);
    }
  }
}

inline double time_of(std::int64_t frame, std::int64_t frames) { return frames == 1 ? 0.5 : static_cast<double>(frame) / static_cast<double>(frames - 1); }

}  // namespace detail

/// The clip, u8 [F, H, W, 3]. Backgrounds darken downwards, objects too.
inline Tensor<> render(const Scene& s, std::int64_t frames, std::int64_t height, std::int64_t width) {
  Tensor<> clip = empty({frames, height, width, 3}, DType::u8);
  std::vector<float> frame(static_cast<std::size_t>(height * width * 3)), noise(s.noise > 0 ? frame.size() : 0);
  Generator random(s.noise_seed);
  const auto& object = colors[s.color].rgb;
  const auto& ground = backgrounds[s.background].rgb;
  for (std::int64_t f = 0; f < frames; ++f) {
    for (std::int64_t row = 0; row < height; ++row) {
      const double shade = 1.08 - 0.28 * (static_cast<double>(row) + 0.5) / static_cast<double>(height);
      float* at = frame.data() + row * width * 3;
      for (std::int64_t i = 0; i < width * 3; ++i) at[i] = static_cast<float>(std::min(255.0, ground[static_cast<std::size_t>(i % 3)] * shade));
    }
    detail::for_each_object_pixel(s, detail::moment(s, detail::time_of(f, frames)), height, width, [&](std::int64_t row, std::int64_t column, double coverage, double y) {
      const double shade = 1 - 0.12 * std::clamp(y, -1.5, 1.5);
      float* at = frame.data() + (row * width + column) * 3;
      for (std::size_t c = 0; c < 3; ++c) at[c] += static_cast<float>(coverage * (std::min(255.0, object[c] * shade) - at[c]));
    });
    random.normal(noise);
    std::uint8_t* to = clip.data<std::uint8_t>() + f * height * width * 3;
    for (std::size_t i = 0; i < frame.size(); ++i) {
      const float value = noise.empty() ? frame[i] : frame[i] + static_cast<float>(255 * s.noise) * noise[i];
      to[i] = static_cast<std::uint8_t>(std::clamp(std::nearbyint(value), 0.0f, 255.0f));
    }
  }
  return clip;
}

/// How much of each pixel the object covers, f32 [F, H, W] in [0, 1].
inline Tensor<> coverage(const Scene& s, std::int64_t frames, std::int64_t height, std::int64_t width) {
  Tensor<> mask = zeros({frames, height, width}, DType::f32);
  for (std::int64_t f = 0; f < frames; ++f)
    detail::for_each_object_pixel(s, detail::moment(s, detail::time_of(f, frames)), height, width, [&](std::int64_t row, std::int64_t column, double covered, double) {
      mask.data<float>()[(f * height + row) * width + column] = static_cast<float>(covered);
    });
  return mask;
}

}  // namespace kinema::inline KINEMA_ABI::data::shapes
