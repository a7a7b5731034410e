// tests/data/shapes_test.cpp - scenes of moving shapes: vocabulary, geometry, pixels, captions.
#include "support/catch.hpp"

#include <kinema/data/shapes_caption.hpp>

#include <map>
#include <set>

using namespace kinema;
using namespace kinema::data::shapes;

namespace {

SceneOptions core_options() {
  SceneOptions o;
  o.vocabulary = Vocabulary::core;
  return o;
}

std::vector<std::uint8_t> bytes(const Tensor<>& t) { return {t.data<std::uint8_t>(), t.data<std::uint8_t>() + t.numel()}; }

}  // namespace

TEST_CASE("shapes: 27 of 248 triples are held out, and every other one is drawn", "[shapes]") {
  int possible = 0, rule = 0, random = 0, core = 0, core_held_out = 0;
  for (std::size_t c = 0; c < colors.size(); ++c)
    for (std::size_t f = 0; f < figure_names.size(); ++f)
      for (std::size_t m = 0; m < 8; ++m) {
        const auto figure = static_cast<Figure>(f);
        const auto motion = static_cast<Motion>(m);
        if (!is_possible(figure, motion)) continue;
        const bool in_core = contains(Vocabulary::core, c) && contains(Vocabulary::core, figure) && contains(Vocabulary::core, motion);
        ++possible;
        rule += is_held_out(c, figure, motion);
        random += is_held_out(c, figure, motion, HoldOut::random);
        core += in_core;
        core_held_out += in_core && is_held_out(c, figure, motion);
      }
  CHECK(possible == 248);
  CHECK(rule == 27);
  CHECK(random >= 20);
  CHECK(random <= 30);
  CHECK(core == 6 * 3 * 6);
  CHECK(core_held_out == 9);

  std::set<std::size_t> trained, held_out;
  SceneOptions only;
  only.triples = SceneOptions::Triples::held_out;
  const auto key = [](const Scene& s) { return (s.color * 4 + static_cast<std::size_t>(s.figure)) * 9 + static_cast<std::size_t>(s.motion); };
  for (std::uint64_t i = 0; i < 6000; ++i) {
    trained.insert(key(scene(1, i, 9, 64, 64)));
    held_out.insert(key(scene(1, i, 9, 64, 64, only)));
  }
  CHECK(trained.size() == 221);
  CHECK(held_out.size() == 27);
  for (const std::size_t k : held_out) CHECK(trained.count(k) == 0);
}

TEST_CASE("shapes: the core vocabulary is all that core scenes use", "[shapes]") {
  std::set<std::string_view> color, ground, figure, motion;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const Scene s = scene(2, i, 9, 64, 64, core_options());
    color.insert(colors[s.color].name);
    ground.insert(backgrounds[s.background].name);
    figure.insert(to_string_view(s.figure));
    motion.insert(to_string_view(s.motion));
    CHECK(s.size == SizeName::unnamed);
    CHECK(colors[s.color].name != backgrounds[s.background].name);
  }
  CHECK(color == std::set<std::string_view>{"red", "orange", "yellow", "green", "pink", "white"});
  CHECK(ground == std::set<std::string_view>{"black", "white", "blue"});
  CHECK(figure == std::set<std::string_view>{"circle", "square", "triangle"});
  CHECK(motion == std::set<std::string_view>{"left", "right", "up", "down", "grow", "still"});
}

TEST_CASE("shapes: objects have the area of their radius and stay inside every frame", "[shapes]") {
  struct Frame { std::int64_t height, width; };
  for (const Frame size : {Frame{64, 64}, Frame{32, 32}, Frame{48, 80}, Frame{96, 64}})
    for (std::uint64_t i = 0; i < 150; ++i) {
      const std::int64_t frames = i % 3 == 0 ? 1 : 9;
      const Scene s = scene(3, i, frames, size.height, size.width);
      const Tensor<> mask = coverage(s, frames, size.height, size.width);
      const double pixels_per_unit = static_cast<double>(std::min(size.height, size.width)) / 64;
      double first = 0, last = 0, edge = 0;
      for (std::int64_t f = 0; f < frames; ++f)
        for (std::int64_t y = 0; y < size.height; ++y)
          for (std::int64_t x = 0; x < size.width; ++x) {
            const double v = static_cast<double>(mask.data<float>()[(f * size.height + y) * size.width + x]);
            if (f == 0) first += v;
            if (f == frames - 1) last += v;
            if (y == 0 || x == 0 || y == size.height - 1 || x == size.width - 1) edge += v;
          }
      INFO("scene " << i << ": " << caption(s));
      CHECK(edge == 0);
      const double start = frames == 1 ? (s.start_radius + s.end_radius) / 2 : s.start_radius, end = frames == 1 ? start : s.end_radius;
      CHECK(std::sqrt(first / pi) / pixels_per_unit == Approx(start).epsilon(0.03));
      CHECK(std::sqrt(last / pi) / pixels_per_unit == Approx(end).epsilon(0.03));
    }
}

TEST_CASE("shapes: motions do what their names say", "[shapes]") {
  for (std::uint64_t i = 0; i < 800; ++i) {
    const Scene s = scene(4, i, 9, 64, 64);
    const bool sideways = s.motion == Motion::left || s.motion == Motion::right, upright = s.motion == Motion::up || s.motion == Motion::down;
    CHECK((s.dx != 0) == sideways);
    CHECK((s.dy != 0) == upright);
    CHECK((s.dx < 0) == (s.motion == Motion::left));
    CHECK((s.dy < 0) == (s.motion == Motion::up));
    if (sideways || upright) CHECK(std::hypot(s.dx, s.dy) > 14);
    CHECK((s.end_radius > s.start_radius) == (s.motion == Motion::grow));
    CHECK((s.end_radius < s.start_radius) == (s.motion == Motion::shrink));
    CHECK((s.turn != 0) == (s.motion == Motion::spin));
    CHECK(scene(4, i, 1, 64, 64).motion == Motion::none);
  }
}

TEST_CASE("shapes: colours, shading and edges of a rendered clip", "[shapes]") {
  Scene s;
  s.color = 0, s.background = 0, s.start_radius = s.end_radius = 10;
  const Tensor<> clip = render(s, 2, 64, 64);
  const auto pixel = [&](std::int64_t y, std::int64_t x, std::int64_t c) { return int{clip.data<std::uint8_t>()[(y * 64 + x) * 3 + c]}; };
  CHECK(pixel(0, 0, 0) == 24);   // 22 (1.08 - 0.28 / 128)
  CHECK(pixel(63, 0, 2) == 22);  // 28 (1.08 - 0.28 127/128)
  CHECK(std::abs(pixel(32, 32, 0) - 224) <= 1);  // 225 (1 - 0.12 0.05)
  CHECK(pixel(24, 32, 0) > pixel(40, 32, 0));    // objects darken downwards
  CHECK(pixel(38, 39, 0) > 30);                  // an edge pixel is a mixture: its centre is 9.92 from the middle
  CHECK(pixel(38, 39, 0) < 190);
}

TEST_CASE("shapes: the same number gives the same clip, another one another", "[shapes]") {
  SceneOptions noisy;
  noisy.degradation = 0.1;
  const auto clip = [&](std::uint64_t seed, std::uint64_t index, const SceneOptions& o = {}) { return bytes(render(scene(seed, index, 5, 32, 32, o), 5, 32, 32)); };
  CHECK(clip(7, 3) == clip(7, 3));
  CHECK(clip(7, 3) != clip(7, 4));
  CHECK(clip(7, 3) != clip(8, 3));
  CHECK(clip(7, 3, noisy) == clip(7, 3, noisy));
  CHECK(clip(7, 3, noisy) != clip(7, 3));
}

TEST_CASE("shapes: quality is how little noise a clip has", "[shapes]") {
  SceneOptions o;
  o.degradation = 0.1;
  double least = 1, most = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const Scene s = scene(5, i, 1, 64, 64, o);
    least = std::min(least, s.quality), most = std::max(most, s.quality);
    Scene clean = s;
    clean.noise = 0;
    const Tensor<> a = render(s, 1, 64, 64), b = render(clean, 1, 64, 64);
    double sum = 0;
    for (std::int64_t k = 0; k < 64 * 63 * 3; ++k) {
      if (b.data<std::uint8_t>()[k] < 64 || b.data<std::uint8_t>()[k] > 190) continue;  // not clamped
      const double d = (int{a.data<std::uint8_t>()[k]} - int{b.data<std::uint8_t>()[k]}) / 255.0;
      sum += d * d / (s.noise * s.noise);
    }
    if (s.quality < 0.5 && s.background == 1) CHECK(sum / (64 * 63 * 3) > 0.5);
    CHECK(s.noise == Approx(0.1 * (1 - s.quality)));
  }
  CHECK(least < 0.05);
  CHECK(most > 0.95);
  CHECK(scene(5, 0, 1, 64, 64).quality == 1);
}

TEST_CASE("shapes: a caption says what the scene is, in every form", "[shapes]") {
  Generator g(11);
  std::map<std::string, int> seen;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const std::int64_t frames = i % 4 == 0 ? 1 : 9;
    const Scene s = scene(6, i, frames, 64, 64);
    for (const std::string& text : {caption(s), caption(s, g)}) {
      const Attributes a = attributes(text);
      INFO(text);
      CHECK(a.color == s.color);
      CHECK(a.background == s.background);
      CHECK(a.figure == s.figure);
      CHECK(a.motion.value_or(Motion::none) == s.motion);
      CHECK(a.size == s.size);
      ++seen[text];
    }
  }
  CHECK(seen.size() > 3000);
}

TEST_CASE("shapes: the wording", "[shapes]") {
  Scene s;
  s.color = 0, s.motion = Motion::right;
  CHECK(caption(s) == "a red circle moves right on a black background");
  s.color = 1, s.size = SizeName::large, s.figure = Figure::star, s.motion = Motion::none, s.background = 2;
  CHECK(caption(s) == "a large orange star on a white background");
  s.size = SizeName::unnamed;
  CHECK(caption(s) == "an orange star on a white background");
  const Attributes a = attributes("Over a Grey background, a violet box rises");
  CHECK(a.color == 5u);
  CHECK(a.figure == Figure::square);
  CHECK(a.motion == Motion::up);
  CHECK(a.background == 1u);
  CHECK(!attributes("a panda plays a guitar").figure);
}

TEST_CASE("shapes: impossible requests are refused", "[shapes]") {
  SceneOptions held_out;
  held_out.triples = SceneOptions::Triples::held_out;
  CHECK_THROWS_AS(scene(0, 0, 1, 64, 64, held_out), ArgumentError);
  CHECK_THROWS_AS(scene(0, 0, 0, 64, 64), ArgumentError);
  CHECK_THROWS_AS(scene(0, 0, 9, 4, 64), ArgumentError);
}
