// examples/shapes/judge.cpp - measures background, object, outline and path; see judge.hpp.
#include "judge.hpp"

#include <kinema/tensor/expect.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace shapes {
namespace {

using namespace kinema;
using namespace kinema::data::shapes;
using Rgb = std::array<double, 3>;

constexpr double least_contrast = 0.2;    // of colour distances in [0, sqrt(3)]: below there is no object
constexpr double least_fit = 0.70, most_ghost = 0.15;
constexpr double object_reach = 2.2;      // radii from the centroid that belong to the object
constexpr int grid = 40;                  // the window of ±2 radii that outlines are compared in
constexpr double window = 2;
constexpr double angle_step = 6;          // degrees

double dot(const Rgb& a, const Rgb& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Rgb minus(const Rgb& a, const Rgb& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

/// Distance of colours: hue tells more than brightness, which shading changes.
double difference(const Rgb& a, const Rgb& b) {
  const Rgb d = minus(a, b);
  const double bright = (d[0] + d[1] + d[2]) / 3;
  const Rgb chroma = {d[0] - bright, d[1] - bright, d[2] - bright};
  return std::sqrt(0.8 * 0.8 * 3 * bright * bright + 1.3 * 1.3 * dot(chroma, chroma));
}

template <class Palette>
std::size_t nearest(const Palette& palette, const Rgb& color) {
  std::size_t best = 0;
  double least = 1e9;
  for (std::size_t i = 0; i < palette.size(); ++i) {
    const auto& p = palette[i].rgb;
    const double d = difference(color, {p[0] / 255, p[1] / 255, p[2] / 255});
    if (d < least) least = d, best = i;
  }
  return best;
}

/// One frame as numbers in [0, 1].
struct Frame {
  std::int64_t height, width;
  std::vector<Rgb> pixel;
  const Rgb& at(std::int64_t y, std::int64_t x) const { return pixel[static_cast<std::size_t>(y * width + x)]; }
};

Frame frame_of(const Tensor<>& clip, std::int64_t f) {
  Frame out{clip.size(1), clip.size(2), {}};
  const auto n = static_cast<std::size_t>(out.height * out.width);
  out.pixel.resize(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t k = (static_cast<std::size_t>(f) * n + i) * 3 + c;
      out.pixel[i][c] = clip.dtype() == DType::u8 ? clip.data<std::uint8_t>()[k] / 255.0 : static_cast<double>(clip.data<float>()[k]);
    }
  return out;
}

/// A colour for every row: medians of the outer two columns at each side, fitted by a line.
struct Ground {
  Rgb top, slope;
  Rgb at(double y) const { return {top[0] + slope[0] * y, top[1] + slope[1] * y, top[2] + slope[2] * y}; }
};

Ground ground_of(const Frame& f) {
  Ground g;
  const double n = static_cast<double>(f.height);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, weighted = 0;
    for (std::int64_t y = 0; y < f.height; ++y) {
      std::array<double, 4> v = {f.at(y, 0)[c], f.at(y, 1)[c], f.at(y, f.width - 2)[c], f.at(y, f.width - 1)[c]};
      std::sort(v.begin(), v.end());
      const double median = (v[1] + v[2]) / 2;
      sum += median;
      weighted += median * (static_cast<double>(y) - (n - 1) / 2);
    }
    g.slope[c] = weighted / (n * (n * n - 1) / 12);
    g.top[c] = sum / n - g.slope[c] * (n - 1) / 2;
  }
  return g;
}

double quantile(std::vector<double> values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// The object of one frame, in pixels.
struct Object {
  Rgb color{};
  double x = 0, y = 0, radius = 0, ghost = 0;
  std::vector<float> mask;  // [H, W]
};

std::optional<Object> object_of(const Frame& f, const Ground& ground) {
  std::vector<double> distance(f.pixel.size());
  double most = 0;
  for (std::size_t i = 0; i < distance.size(); ++i) {
    const Rgb d = minus(f.pixel[i], ground.at(static_cast<double>(i) / static_cast<double>(f.width)));
    distance[i] = std::sqrt(dot(d, d));
    most = std::max(most, distance[i]);
  }
  if (most < least_contrast) return std::nullopt;
  std::vector<double> strong;
  for (const double d : distance)
    if (d > 0.4 * most) strong.push_back(d);
  const double core = 0.75 * quantile(std::move(strong), 0.9);
  Object o;
  double count = 0;
  for (std::size_t i = 0; i < distance.size(); ++i)
    if (distance[i] > core) {
      for (std::size_t c = 0; c < 3; ++c) o.color[c] += f.pixel[i][c];
      ++count;
    }
  for (double& c : o.color) c /= count;

  o.mask.resize(f.pixel.size());
  double mass = 0, sx = 0, sy = 0;
  for (std::int64_t y = 0; y < f.height; ++y) {
    const Rgb base = ground.at(static_cast<double>(y)), axis = minus(o.color, base);
    for (std::int64_t x = 0; x < f.width; ++x) {
      double m = std::clamp(dot(minus(f.at(y, x), base), axis) / dot(axis, axis), 0.0, 1.0);
      if (m < 0.2) m = 0;
      o.mask[static_cast<std::size_t>(y * f.width + x)] = static_cast<float>(m);
      mass += m, sx += m * (static_cast<double>(x) + 0.5), sy += m * (static_cast<double>(y) + 0.5);
    }
  }
  if (mass <= 0) return std::nullopt;
  const double all = mass;
  for (int round = 0; round < 3; ++round) {
    o.x = sx / mass, o.y = sy / mass;
    const double reach = object_reach * std::sqrt(mass / pi);
    double m = 0, mx = 0, my = 0;
    for (std::int64_t y = 0; y < f.height; ++y)
      for (std::int64_t x = 0; x < f.width; ++x) {
        const double px = static_cast<double>(x) + 0.5, py = static_cast<double>(y) + 0.5;
        if ((px - o.x) * (px - o.x) + (py - o.y) * (py - o.y) > reach * reach) continue;
        const double v = o.mask[static_cast<std::size_t>(y * f.width + x)];
        m += v, mx += v * px, my += v * py;
      }
    if (m <= 0) return std::nullopt;  // a ring: nothing is where its middle is
    mass = m, sx = mx, sy = my;
  }
  o.x = sx / mass, o.y = sy / mass, o.radius = std::sqrt(mass / pi), o.ghost = 1 - mass / all;
  return o;
}

using Cells = std::array<float, grid * grid>;

/// The mask around the object, resampled to the window.
Cells window_of(const Object& o, std::int64_t height, std::int64_t width) {
  Cells out{};
  const auto value = [&](std::int64_t y, std::int64_t x) -> double {
    return y < 0 || x < 0 || y >= height || x >= width ? 0.0 : static_cast<double>(o.mask[static_cast<std::size_t>(y * width + x)]);
  };
  for (int i = 0; i < grid; ++i)
    for (int j = 0; j < grid; ++j) {
      const double y = o.y + ((i + 0.5) / grid * 2 - 1) * window * o.radius - 0.5, x = o.x + ((j + 0.5) / grid * 2 - 1) * window * o.radius - 0.5;
      const double fy = std::floor(y), fx = std::floor(x), wy = y - fy, wx = x - fx;
      const auto iy = static_cast<std::int64_t>(fy), ix = static_cast<std::int64_t>(fx);
      out[static_cast<std::size_t>(i * grid + j)] = static_cast<float>((1 - wy) * ((1 - wx) * value(iy, ix) + wx * value(iy, ix + 1)) +
                                                                        wy * ((1 - wx) * value(iy + 1, ix) + wx * value(iy + 1, ix + 1)));
    }
  return out;
}

/// Degrees after which a figure looks the same again.
double symmetry(Figure f) {
  constexpr std::array<double, 4> degrees = {angle_step, 90, 120, 72};
  return degrees[static_cast<std::size_t>(f)];
}

struct Template { Figure figure; double degrees; Cells cells; };

const std::vector<Template>& templates() {
  static const std::vector<Template> all = [] {
    std::vector<Template> list;
    for (std::size_t k = 0; k < figure_names.size(); ++k) {
      const auto f = static_cast<Figure>(k);
      for (double degrees = 0; degrees < symmetry(f); degrees += angle_step) {
        Template t{f, degrees, {}};
        const Outline outline(f, degrees * pi / 180);
        for (int i = 0; i < grid; ++i)
          for (int j = 0; j < grid; ++j) {
            const double y = ((i + 0.5) / grid * 2 - 1) * window, x = ((j + 0.5) / grid * 2 - 1) * window;
            t.cells[static_cast<std::size_t>(i * grid + j)] = static_cast<float>(std::clamp(0.5 - outline.distance(x, y) * grid / (2 * window), 0.0, 1.0));
          }
        list.push_back(t);
      }
    }
    return list;
  }();
  return all;
}

double overlap(const Cells& a, const Cells& b) {
  float common = 0, either = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    common += std::min(a[i], b[i]);
    either += std::max(a[i], b[i]);
  }
  return either > 0 ? static_cast<double>(common / either) : 0;
}

/// Best overlap and its angle for every figure, in one frame.
struct Fit { std::array<double, 4> overlap{}, degrees{}; };

Fit fit_of(const Cells& cells) {
  Fit fit;
  for (const Template& t : templates()) {
    const auto k = static_cast<std::size_t>(t.figure);
    const double v = overlap(cells, t.cells);
    if (v > fit.overlap[k]) fit.overlap[k] = v, fit.degrees[k] = t.degrees;
  }
  return fit;
}

std::optional<Motion> motion_of(const Sight& s, std::int64_t frames) {
  if (frames == 1) return Motion::none;
  const double moved = std::hypot(s.dx, s.dy);
  if (std::abs(s.log_scale) > 0.25) {
    if (moved < 6) return s.log_scale > 0 ? Motion::grow : Motion::shrink;
    return std::nullopt;
  }
  if (moved > 8) {
    if (std::abs(s.dx) > 2.5 * std::abs(s.dy)) return s.dx > 0 ? Motion::right : Motion::left;
    if (std::abs(s.dy) > 2.5 * std::abs(s.dx)) return s.dy > 0 ? Motion::down : Motion::up;
    return std::nullopt;
  }
  if (moved < 4) {
    if (s.turn_degrees > 40) return Motion::spin;
    if (std::abs(s.turn_degrees) < 20 && std::abs(s.log_scale) < 0.15) return Motion::still;
  }
  return std::nullopt;
}

}  // namespace

Sight look(const Tensor<>& clip) {
  const Expect expect{"judge"};
  expect("clip", clip).rank(4).size(3, 3).contiguous();
  expect.that(clip.dtype() == DType::u8 || clip.dtype() == DType::f32, "a clip must be u8 or f32, got ", clip.dtype());
  const std::int64_t frames = clip.size(0), height = clip.size(1), width = clip.size(2);
  expect.that(frames > 0 && height >= 8 && width >= 8, "a clip needs frames of 8x8 pixels or more, got ", clip.shape());
  const double unit = frame_units / static_cast<double>(std::min(height, width)), n = static_cast<double>(frames);

  Sight s;
  Rgb color{}, ground_color{};
  Fit sum;
  std::vector<Object> objects;
  std::vector<Fit> fits;
  for (std::int64_t f = 0; f < frames; ++f) {
    const Frame frame = frame_of(clip, f);
    const Ground ground = ground_of(frame);
    const Rgb base = ground.at(static_cast<double>(height) * 2 / 7);  // where the palette's colour is unshaded
    for (std::size_t c = 0; c < 3; ++c) ground_color[c] += base[c] / n;
    std::optional<Object> o = object_of(frame, ground);
    if (!o) continue;
    fits.push_back(fit_of(window_of(*o, height, width)));
    for (std::size_t k = 0; k < 4; ++k) sum.overlap[k] += fits.back().overlap[k];
    for (std::size_t c = 0; c < 3; ++c) color[c] += o->color[c];
    s.ghost += o->ghost / n;
    s.radius += o->radius * unit / n;
    objects.push_back(std::move(*o));
  }
  s.background = nearest(backgrounds, ground_color);
  s.object = objects.size() == static_cast<std::size_t>(frames);
  if (objects.empty()) return s;
  for (double& c : color) c /= static_cast<double>(objects.size());
  s.color = nearest(colors, color);
  if (!s.object) return s;

  const auto best = static_cast<std::size_t>(std::max_element(sum.overlap.begin(), sum.overlap.end()) - sum.overlap.begin());
  s.likely = static_cast<Figure>(best);
  s.fit = sum.overlap[best] / n;
  if (s.fit >= least_fit && s.ghost <= most_ghost) s.figure = s.likely;
  const std::size_t ends = frames < 4 ? 1 : 2;  // the first and last frames, averaged
  double first_radius = 0, last_radius = 0;
  for (std::size_t i = 0; i < ends; ++i) {
    const Object &first = objects[i], &last = objects[objects.size() - 1 - i];
    s.dx += (last.x - first.x) * unit / static_cast<double>(ends);
    s.dy += (last.y - first.y) * unit / static_cast<double>(ends);
    first_radius += first.radius;
    last_radius += last.radius;
  }
  s.log_scale = std::log(last_radius / first_radius);
  const double period = symmetry(s.likely);
  for (std::size_t i = 1; i < fits.size(); ++i) s.turn_degrees += std::remainder(fits[i].degrees[best] - fits[i - 1].degrees[best], period);
  s.motion = motion_of(s, frames);
  return s;
}

Verdict judge(const Sight& s, const Attributes& asked) {
  constexpr double small_below = 8.8, large_above = 12.1;
  Verdict v;
  v.background = !asked.background || s.background == *asked.background;
  if (!s.object) return v;
  v.color = !asked.color || s.color == *asked.color;
  v.figure = !asked.figure || s.figure == *asked.figure;
  v.motion = !asked.motion || s.motion == *asked.motion;
  v.size = asked.size == SizeName::unnamed || (asked.size == SizeName::small ? s.radius < small_below : s.radius > large_above);
  return v;
}

std::string to_string(const Sight& s) {
  if (!s.object) return cat("no object in some frame, on ", backgrounds[s.background].name);
  const auto rounded = [](double x) { return std::nearbyint(x * 100) / 100; };
  return cat(colors[s.color].name, " ", s.figure ? "" : "unclear ", to_string_view(s.likely), ", ", s.motion ? to_string_view(*s.motion) : "unclear motion", ", on ",
             backgrounds[s.background].name, " (radius ", rounded(s.radius), ", fit ", rounded(s.fit), ", ghost ", rounded(s.ghost), ", moved ", rounded(s.dx), " ", rounded(s.dy),
             ", log scale ", rounded(s.log_scale), ", turned ", rounded(s.turn_degrees), ")");
}

}  // namespace shapes
