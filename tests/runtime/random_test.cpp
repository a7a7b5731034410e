// tests/runtime/random_test.cpp - random streams: PyTorch's CPU generator bit for bit, ours by its properties.
#include <kinema/runtime/random.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <vector>

using namespace kinema;

namespace {
std::vector<float> draw(NormalSource& g, std::size_t n) {
  std::vector<float> v(n);
  g.normal(std::span<float>(v));
  return v;
}
void check_close(const std::vector<float>& got, const std::vector<double>& want, double margin) {
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(static_cast<double>(got[i]) == Approx(want[i]).margin(margin));
}
}  // namespace

TEST_CASE("TorchCpuGenerator equals torch.randn", "[random]") {
  TorchCpuGenerator a(42), b(1), c(1);
  check_close(draw(a, 32), {1.9269, 1.4873, 0.9007, -2.1055, 0.6784, -1.2345}, 1e-4);
  check_close(draw(b, 10), {.6614, .2669, .0617, .6213, -.4519, -.1661, -1.5228, .3817}, 1e-4);
  check_close(draw(c, 20), {-1.5256, -.7502, -.6540, -1.6095, .8657, .2444}, 1e-4);
}

TEST_CASE("only the low 32 bits of the seed count", "[random]") {
  TorchCpuGenerator a(7), b(4294967303u), c(8);
  const auto x = draw(a, 20);
  CHECK(x == draw(b, 20));
  CHECK(x != draw(c, 20));
}

TEST_CASE("Philox known answers", "[random]") {
  // Random123's kat_vectors: philox 4x32 10, counter and key zero.
  const PhiloxBlock zero = philox(0, 0);
  CHECK(zero.word[0] == 0x6627e8d5u);
  CHECK(zero.word[1] == 0xe169c58du);
  CHECK(zero.word[2] == 0xbc57ac4cu);
  CHECK(zero.word[3] == 0x9b00dbd8u);
}

TEST_CASE("Generator resumes anywhere and has the moments of a normal", "[random]") {
  Generator whole(9), first(9);
  const auto all = draw(whole, 100);
  const auto head = draw(first, 37);
  Generator rest(9, first.offset());
  const auto tail = draw(rest, 63);
  CHECK(std::equal(head.begin(), head.end(), all.begin()));
  CHECK(std::equal(tail.begin(), tail.end(), all.begin() + 37));

  Generator many(123);
  const std::size_t n = 200000;
  double sum = 0, squares = 0, fourth = 0;
  for (float x : draw(many, n)) {
    const double d = x;
    sum += d, squares += d * d, fourth += d * d * d * d;
  }
  const auto count = static_cast<double>(n);
  CHECK(std::abs(sum / count) < 4 / std::sqrt(count));            // four standard errors
  CHECK(std::abs(squares / count - 1) < 4 * std::sqrt(2 / count));
  CHECK(std::abs(fourth / count - 3) < 4 * std::sqrt(96 / count));
}

TEST_CASE("the state of a stream continues it, with leftovers of a pair", "[random]") {
  for (const std::size_t n : {0, 1, 2, 15, 16, 17, 40, 623, 624, 700}) {  // odd small draws leave one number over
    TorchCpuGenerator torch(5), torch_again(6);
    Generator philox_stream(5), philox_again(6);
    for (auto [from, to] : {std::pair<NormalSource*, NormalSource*>(&torch, &torch_again), {&philox_stream, &philox_again}}) {
      draw(*from, n), draw(*from, 3);
      to->restore(from->state());
      CHECK(to->state() == from->state());
      const auto a = draw(*from, 3), b = draw(*from, 50);
      CHECK(draw(*to, 3) == a);
      CHECK(draw(*to, 50) == b);
    }
  }
  TorchCpuGenerator torch(5);
  const std::vector<std::uint64_t> state = torch.state();
  const auto refused = [&](std::size_t i, std::uint64_t v) {
    std::vector<std::uint64_t> bad = state;
    bad[i] = v;
    CHECK_THROWS_AS(torch.restore(bad), ArgumentError);
  };
  refused(0, std::uint64_t{1} << 32);
  refused(624, 625);
  refused(625, 2);
  CHECK_THROWS_AS(torch.restore(std::vector<std::uint64_t>(2)), ArgumentError);
  CHECK_THROWS_AS(Generator(1).restore(state), ArgumentError);
  CHECK(torch.state() == state);
}
