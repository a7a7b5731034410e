// tests/data/judge_test.cpp - the judge of shapes: right about true clips, tolerant of blur, not fooled by other captions.
#include "support/catch.hpp"

#include "shapes/judge.hpp"

using namespace kinema;
using namespace kinema::data::shapes;

namespace {

constexpr std::uint64_t count = 300;

struct Clip { Scene scene; Tensor<> frames; };

Clip true_clip(std::uint64_t i, std::int64_t side, Vocabulary v = Vocabulary::full) {
  SceneOptions o;
  o.vocabulary = v;
  o.triples = SceneOptions::Triples::all;
  const Scene s = scene(20, i, 9, side, side, o);
  return {s, render(s, 9, side, side)};
}

shapes::Verdict verdict(const Tensor<>& clip, const Scene& s) { return shapes::judge(shapes::look(clip), attributes(caption(s))); }

/// Share of clips that have everything, after `change`.
template <class F>
double accepted(std::int64_t side, const F& change) {
  double right = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Clip c = true_clip(i, side);
    const Tensor<> changed = change(c.frames, i);
    const bool all = verdict(changed, c.scene).all();
    if (!all) UNSCOPED_INFO(caption(c.scene) << " → " << shapes::to_string(shapes::look(changed)));
    right += all;
  }
  return right / static_cast<double>(count);
}

Tensor<> same(const Tensor<>& clip, std::uint64_t) { return clip; }

/// Gaussian blur of standard deviation 1 pixel within frames.
Tensor<> blurred(const Tensor<>& clip, std::uint64_t) {
  const std::int64_t F = clip.size(0), H = clip.size(1), W = clip.size(2);
  Tensor<> out = empty(clip.shape(), DType::f32), half = empty(clip.shape(), DType::f32);
  double weight[7], sum = 0;
  for (int k = -3; k <= 3; ++k) sum += weight[k + 3] = std::exp(-k * k / 2.0);
  const auto pass = [&](const auto& from, float* to, bool across) {
    for (std::int64_t f = 0; f < F; ++f)
      for (std::int64_t y = 0; y < H; ++y)
        for (std::int64_t x = 0; x < W; ++x)
          for (std::int64_t c = 0; c < 3; ++c) {
            double v = 0;
            for (int k = -3; k <= 3; ++k) {
              const std::int64_t yy = across ? y : std::clamp<std::int64_t>(y + k, 0, H - 1), xx = across ? std::clamp<std::int64_t>(x + k, 0, W - 1) : x;
              v += weight[k + 3] / sum * from(((f * H + yy) * W + xx) * 3 + c);
            }
            to[((f * H + y) * W + x) * 3 + c] = static_cast<float>(v);
          }
  };
  pass([&](std::int64_t i) { return clip.data<std::uint8_t>()[i] / 255.0; }, half.data<float>(), true);
  pass([&](std::int64_t i) { return static_cast<double>(half.data<float>()[i]); }, out.data<float>(), false);
  return out;
}

Tensor<> noisy(const Tensor<>& clip, std::uint64_t i) {
  Tensor<> out = Generator(900 + i).normal(clip.shape());
  for (std::int64_t k = 0; k < out.numel(); ++k)
    out.data<float>()[k] = std::clamp(0.05f * out.data<float>()[k] + static_cast<float>(clip.data<std::uint8_t>()[k]) / 255.0f, 0.0f, 1.0f);
  return out;
}

Tensor<> reversed(const Tensor<>& clip, std::uint64_t) {
  Tensor<> out = empty(clip.shape(), DType::u8);
  const std::size_t bytes = clip.bytes() / static_cast<std::size_t>(clip.size(0));
  for (std::int64_t f = 0; f < clip.size(0); ++f)
    std::memcpy(out.data<std::uint8_t>() + static_cast<std::size_t>(f) * bytes, clip.data<std::uint8_t>() + static_cast<std::size_t>(clip.size(0) - 1 - f) * bytes, bytes);
  return out;
}

}  // namespace

TEST_CASE("judge: true clips are all accepted", "[judge]") {
  CHECK(accepted(64, same) == 1.0);
  CHECK(accepted(32, same) == 1.0);
}

TEST_CASE("judge: a soft picture is still the same clip", "[judge]") {
  CHECK(accepted(64, blurred) == 1.0);
  CHECK(accepted(64, noisy) >= 0.9);
}

TEST_CASE("judge: a clip backwards is another motion", "[judge]") {
  const double kept = accepted(64, reversed);
  double still = 0;
  for (std::uint64_t i = 0; i < count; ++i) still += true_clip(i, 64).scene.motion == Motion::still;
  CHECK(kept == Approx(still / static_cast<double>(count)).margin(0.01));
}

TEST_CASE("judge: captions of other clips are right by chance only", "[judge]") {
  double all = 0, color = 0, figure = 0, motion = 0, background = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const shapes::Verdict v = verdict(true_clip(i, 64).frames, true_clip((i + 1) % count, 64).scene);
    all += v.all();
    color += v.color;
    figure += v.figure;
    motion += v.motion;
    background += v.background;
  }
  const double n = static_cast<double>(count);
  CHECK(all / n < 0.02);
  CHECK(std::abs(color / n - 1 / 8.0) < 0.07);
  CHECK(std::abs(figure / n - 1 / 4.0) < 0.08);
  CHECK(std::abs(motion / n - 1 / 8.0) < 0.07);
  CHECK(std::abs(background / n - 1 / 6.0) < 0.07);
}

TEST_CASE("judge: every wrong attribute is the one that is noticed", "[judge]") {
  const Scene s = scene(21, 5, 9, 64, 64);
  const shapes::Sight seen = shapes::look(render(s, 9, 64, 64));
  const Attributes right = attributes(caption(s));
  REQUIRE(shapes::judge(seen, right).all());
  Attributes a = right;
  a.color = (*right.color + 1) % colors.size();
  CHECK_FALSE(shapes::judge(seen, a).color);
  a = right, a.figure = static_cast<Figure>((static_cast<int>(*right.figure) + 1) % 4);
  CHECK_FALSE(shapes::judge(seen, a).figure);
  a = right, a.motion = static_cast<Motion>((static_cast<int>(*right.motion) + 1) % 8);
  CHECK_FALSE(shapes::judge(seen, a).motion);
  a = right, a.background = (*right.background + 1) % backgrounds.size();
  CHECK_FALSE(shapes::judge(seen, a).background);
}

TEST_CASE("judge: sizes count when they are named", "[judge]") {
  Scene s;
  s.start_radius = s.end_radius = 7.5;
  const shapes::Sight small = shapes::look(render(s, 9, 64, 64));
  s.start_radius = s.end_radius = 13.5;
  const shapes::Sight large = shapes::look(render(s, 9, 64, 64));
  CHECK(shapes::judge(small, attributes("a small red circle")).all());
  CHECK(shapes::judge(small, attributes("a red circle")).all());
  CHECK_FALSE(shapes::judge(small, attributes("a large red circle")).size);
  CHECK(shapes::judge(large, attributes("a huge red circle")).all());
  CHECK_FALSE(shapes::judge(large, attributes("a tiny red circle")).size);
}

TEST_CASE("judge: an empty frame and a second object are refused", "[judge]") {
  Scene s;
  Tensor<> clip = render(s, 9, 64, 64);
  Scene far = s;
  far.x = 200;
  std::memcpy(clip.data<std::uint8_t>(), render(far, 1, 64, 64).data<std::uint8_t>(), 64 * 64 * 3);
  CHECK_FALSE(shapes::look(clip).object);
  CHECK_FALSE(shapes::judge(shapes::look(clip), attributes("a red circle")).all());

  s.x = 18, s.y = 18, s.start_radius = s.end_radius = 10;
  Tensor<> two = render(s, 9, 64, 64);
  Scene second = s;
  second.x = second.y = 54, second.start_radius = second.end_radius = 6;
  const Tensor<> other = render(second, 9, 64, 64), mask = coverage(second, 9, 64, 64);
  for (std::int64_t i = 0; i < mask.numel(); ++i)
    if (mask.data<float>()[i] > 0)
      for (std::int64_t c = 0; c < 3; ++c) two.data<std::uint8_t>()[3 * i + c] = other.data<std::uint8_t>()[3 * i + c];
  const shapes::Sight seen = shapes::look(two);
  CHECK(seen.ghost > 0.15);
  CHECK_FALSE(seen.figure);
}

TEST_CASE("judge: pictures have no motion", "[judge]") {
  const Scene s = scene(23, 1, 1, 64, 64);
  const shapes::Sight seen = shapes::look(render(s, 1, 64, 64));
  CHECK(seen.motion == Motion::none);
  CHECK(shapes::judge(seen, attributes(caption(s))).all());
}
