// tests/op/attention_test.cpp - attention against its definition, and the properties that hold exactly.
#include "support/catch.hpp"
#include "support/random_shapes.hpp"
#include "support/reference/attention.hpp"
#include "support/tolerance.hpp"

#include <kinema/op/attention.hpp>

#include <cstring>
#include <limits>

using namespace kinema;
using namespace kinema::test;
using reference::AttentionCase;

namespace {

op::AttentionOptions options_of(const AttentionCase& c) {
  op::AttentionOptions o{.scale = c.scale, .bias = c.bias};
  if (!c.segments_q.empty()) {
    const auto n = static_cast<std::int64_t>(c.segments_q.size());
    o.segments_q = tensor_of(c.segments_q, {n});
    o.segments_k = tensor_of(c.segments_k, {n});
  }
  return o;
}
Tensor<> run(const AttentionCase& c) { return op::attention(c.q, c.k, c.v, options_of(c)); }

double largest(const std::vector<double>& values) {
  double m = 0;
  for (const double v : values) m = std::max(m, std::abs(v));
  return m;
}
double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double m = 0;
  for (std::size_t i = 0; i < a.size(); ++i) m = std::max(m, std::abs(a[i] - b[i]));
  return m;
}

/// At most twice the error of the plain loop in the same precision. Few numbers make few errors, and the largest of few
/// is a matter of luck: `spare` units of roundoff on logits and values allow for that.
std::int64_t first_wrong_against_plain(const AttentionCase& c, const Tensor<>& y, double spare) {
  const DType t = c.q.dtype();
  double logit = 0;
  const std::vector<double> want = reference::attention<long double>(c, &logit);
  const std::vector<double> plain = t == DType::f64 ? reference::attention<double>(c) : reference::attention<float>(c);
  const double values = largest(values_of(c.v));
  const double error = 2 * largest_difference(plain, want) + (2 + spare * (1 + logit)) * compute_roundoff(t) * values;
  return first_wrong(values_of(y), want, [&](std::size_t i) { return pointwise_tolerance(t, 0, 0, want[i]) + error; });
}

/// n ascending ends from 0 to length, some segments empty.
std::vector<std::int64_t> cuts(Draw& draw, std::int64_t n, std::int64_t length) {
  std::vector<std::int64_t> ends{0, length};
  while (static_cast<std::int64_t>(ends.size()) < n) ends.push_back(draw.between(0, length));
  std::sort(ends.begin(), ends.end());
  return ends;
}

AttentionCase random_case(Draw& draw, std::int64_t b, std::int64_t m, std::int64_t n, std::int64_t h, std::int64_t d, DType dtype, double logits = 1) {
  AttentionCase c;
  c.q = normal_tensor(draw, {b, m, h, d}, dtype, logits);
  c.k = normal_tensor(draw, {b, n, h, d}, dtype);
  c.v = normal_tensor(draw, {b, n, h, d}, dtype);
  c.scale = 1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(d, 1)));
  return c;
}

Tensor<> rows(const Tensor<>& x, std::int64_t first, std::int64_t n) {
  const Tensor<> window = narrow(x, 1, first, n), copy = empty(window.shape(), x.dtype());
  const std::size_t bytes = static_cast<std::size_t>(n * x.size(2) * x.size(3)) * size_of(x.dtype());
  for (std::int64_t b = 0; b < x.size(0); ++b)
    std::memcpy(static_cast<char*>(copy.ref().data) + static_cast<std::size_t>(b) * bytes, select(window, 0, b).ref().data, bytes);
  return copy;
}

}  // namespace

TEST_CASE("attention agrees with its definition for every shape, type, stride, segment and bias", "[op][attention]") {
  Draw draw(31);
  static constexpr std::int64_t widths[] = {1, 2, 3, 8, 15, 16, 17, 32, 48, 64, 65, 72, 80, 130};
  for (int i = 0; i < 300; ++i) {
    const DType dtype = draw.type();
    const std::int64_t b = draw.between(0, 9) == 0 ? 0 : draw.between(1, 3), h = draw.between(1, 3), d = widths[draw.between(0, 13)];
    const std::int64_t m = draw.size(), n = draw.size();
    static constexpr double scales[] = {1, 4, 16};
    const double logits = scales[draw.between(0, 2)];
    AttentionCase c = random_case(draw, b, m, n, h, d, dtype, logits);
    if (draw.coin()) c.bias = normal_tensor(draw, {h, m, n}, dtype == DType::f64 && draw.coin() ? DType::f64 : DType::f32, 2);
    if (draw.coin()) {
      const std::int64_t segments = draw.between(2, 5);
      c.segments_q = cuts(draw, segments, m);
      c.segments_k = cuts(draw, segments, n);
    }
    if (draw.coin()) {
      c.q = scattered(draw, c.q, true), c.k = scattered(draw, c.k, true), c.v = scattered(draw, c.v, true);
      // The last axis must stay dense: scattered may leave it padded, which is allowed.
      if (c.bias) c.bias = scattered(draw, c.bias);
    }
    CAPTURE(i, to_string(dtype), b, m, n, h, d, logits, static_cast<bool>(c.bias), c.segments_q, c.segments_k);
    REQUIRE(first_wrong_against_plain(c, run(c), 4) == -1);
  }
}

TEST_CASE("attention is as exact as a plain loop in the same precision on long sequences", "[op][attention]") {
  Draw draw(32);
  for (const double logits : {1.0, 4.0, 16.0})
    for (const std::int64_t n : {63, 64, 65, 127, 129, 331}) {
      const AttentionCase c = random_case(draw, 1, 49, n, 2, 64, DType::f32, logits);
      CAPTURE(logits, n);
      CHECK(first_wrong_against_plain(c, run(c), 0) == -1);
    }
  // Sums of positive numbers only, where a long chain of additions would show.
  AttentionCase c = random_case(draw, 1, 8, 5003, 1, 16, DType::f32, 0.1);
  c.v = tensor_by({1, 5003, 1, 16}, DType::f32, [&] { return std::abs(draw.normal()); });
  CHECK(largest_difference(values_of(run(c)), reference::attention<long double>(c)) <= sum_factor(64 + 5003 / 64) * 0x1p-24 * 1.5);
}

TEST_CASE("attention keeps up with a maximum that grows from block to block", "[op][attention]") {
  Draw draw(33);
  for (const double step : {0.05, 0.5, 3.0, -0.5}) {
    AttentionCase c = random_case(draw, 2, 13, 301, 2, 16, DType::f32);
    c.bias = empty({2, 13, 301}, DType::f32);
    for (std::int64_t i = 0; i < c.bias.numel(); ++i) c.bias.data<float>()[i] = static_cast<float>(step * static_cast<double>(i % 301));
    CAPTURE(step);
    CHECK(first_wrong_against_plain(c, run(c), 0.5) == -1);
  }
}

TEST_CASE("attention picks exactly the right rows", "[op][attention]") {
  // Scores are 0 or 1024 (exp of the difference is 0 in f64 too), so that a softmax is a choice: any wrong index shows in the bits.
  Draw draw(34);
  for (int i = 0; i < 40; ++i) {
    const std::int64_t b = draw.between(1, 3), h = draw.between(1, 4), d = draw.between(1, 90), m = draw.between(1, 110), n = draw.between(1, d);
    const DType dtype = draw.type();
    std::vector<std::int64_t> chosen;
    std::int64_t at = 0;
    const Tensor<> q = tensor_by({b, m, h, d}, dtype, [&] {
      if (at++ % d == 0) chosen.push_back(draw.between(0, n - 1));
      return (at - 1) % d == chosen.back() ? 64.0 : 0.0;
    });
    at = 0;
    const Tensor<> k = tensor_by({b, n, h, d}, dtype, [&] { const std::int64_t j = at / (h * d) % n, e = at % d; ++at; return j == e ? 16.0 : 0.0; });
    const Tensor<> v = integer_tensor(draw, {b, n, h, d}, dtype, 200);
    const std::vector<double> got = values_of(op::attention(q, k, v, {.scale = 1.0})), values = values_of(v);
    CAPTURE(i, to_string(dtype), b, m, n, h, d);
    std::int64_t wrong = 0;
    for (std::int64_t r = 0; r < b * m * h; ++r)
      for (std::int64_t e = 0; e < d; ++e) {
        const std::int64_t from = ((r / (m * h) * n + chosen[static_cast<std::size_t>(r)]) * h + r % h) * d + e;
        wrong += got[static_cast<std::size_t>(r * d + e)] != values[static_cast<std::size_t>(from)];
      }
    REQUIRE(wrong == 0);
  }
}

TEST_CASE("attention: one key returns its value, equal keys the mean, no keys zeros", "[op][attention]") {
  Draw draw(35);
  for (const DType dtype : floating_types) {
    const AttentionCase one = random_case(draw, 2, 9, 1, 3, 40, dtype, 16);
    const std::vector<double> y = values_of(run(one)), v = values_of(one.v);
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < y.size(); ++i) wrong += y[i] != v[i / (9 * 3 * 40) * (3 * 40) + i % (3 * 40)];
    CHECK(wrong == 0);

    AttentionCase none = random_case(draw, 1, 7, 0, 2, 24, dtype);
    CHECK(first_different(values_of(run(none)), std::vector<double>(7 * 2 * 24, 0.0)) == -1);

    AttentionCase equal = random_case(draw, 1, 5, 64, 1, 8, dtype);
    equal.k = full({1, 64, 1, 8}, 0.5, dtype);
    equal.v = integer_tensor(draw, {1, 64, 1, 8}, dtype, 8);  // 64 equal weights: sums and mean are exact
    std::vector<double> mean(5 * 8, 0.0);
    const std::vector<double> values = values_of(equal.v);
    for (std::size_t i = 0; i < mean.size(); ++i)
      for (std::size_t j = 0; j < 64; ++j) mean[i] += values[j * 8 + i % 8] / 64;
    const double u = unit_roundoff(dtype);
    CHECK(first_wrong(values_of(run(equal)), mean, [&](std::size_t) { return 8 * u; }) == -1);
  }
}

TEST_CASE("attention does not care about the order of keys or a constant added to all logits", "[op][attention]") {
  Draw draw(36);
  const AttentionCase c = random_case(draw, 1, 20, 150, 2, 32, DType::f32, 4);
  const std::vector<double> y = values_of(run(c));
  std::vector<std::int64_t> order(150);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  std::shuffle(order.begin(), order.end(), draw.bits());
  AttentionCase permuted = c, shifted = c;
  permuted.k = empty_like(c.k), permuted.v = empty_like(c.v);
  for (std::int64_t j = 0; j < 150; ++j)
    for (const auto& [to, from] : {std::pair(permuted.k, c.k), std::pair(permuted.v, c.v)})
      std::memcpy(to.data<float>() + j * 64, from.data<float>() + order[static_cast<std::size_t>(j)] * 64, 64 * sizeof(float));
  shifted.bias = full({2, 20, 150}, 3.0, DType::f32);
  const double error = 2 * largest_difference(reference::attention<float>(c), reference::attention<long double>(c)) + 2 * 0x1p-24 * largest(values_of(c.v));
  CHECK(largest_difference(values_of(run(permuted)), y) <= 2 * error);
  CHECK(largest_difference(values_of(run(shifted)), y) <= 2 * error + 8 * 0x1p-24);  // the sum with 3 rounds the logit
}

TEST_CASE("packed segments have the bits of separate calls, whatever stands in the others", "[op][attention]") {
  Draw draw(37);
  for (int i = 0; i < 40; ++i) {
    const DType dtype = draw.type();
    const std::int64_t b = draw.between(1, 2), h = draw.between(1, 3), d = draw.between(1, 80), m = draw.between(1, 200), n = draw.between(1, 200);
    AttentionCase c = random_case(draw, b, m, n, h, d, dtype, 4);
    const std::int64_t segments = draw.between(2, 6);
    c.segments_q = cuts(draw, segments, m);
    c.segments_k = cuts(draw, segments, n);
    const Tensor<> packed = run(c);
    CAPTURE(i, to_string(dtype), b, m, n, h, d, c.segments_q, c.segments_k);
    for (std::size_t s = 0; s + 1 < c.segments_q.size(); ++s) {
      const std::int64_t q0 = c.segments_q[s], qn = c.segments_q[s + 1] - q0, k0 = c.segments_k[s], kn = c.segments_k[s + 1] - k0;
      const Tensor<> alone = op::attention(rows(c.q, q0, qn), rows(c.k, k0, kn), rows(c.v, k0, kn), {.scale = c.scale});
      REQUIRE(same_bits(rows(packed, q0, qn), alone));

      // NaN in every other segment changes nothing here.
      AttentionCase poisoned = c;
      const auto poison = [&](const Tensor<>& x, std::int64_t first, std::int64_t length) {
        const Tensor<> y = rows(x, 0, x.size(1)), kept = rows(x, first, length);
        std::memset(y.ref().data, 0xFF, y.bytes());
        const std::size_t bytes = static_cast<std::size_t>(length * h * d) * size_of(dtype);
        for (std::int64_t e = 0; e < b; ++e)
          std::memcpy(narrow(select(y, 0, e), 0, first, length).ref().data, select(kept, 0, e).ref().data, bytes);
        return y;
      };
      poisoned.q = poison(c.q, q0, qn), poisoned.k = poison(c.k, k0, kn), poisoned.v = poison(c.v, k0, kn);
      REQUIRE(same_bits(rows(run(poisoned), q0, qn), alone));
    }
  }
}

TEST_CASE("attention on a batch has the bits of single calls, and of any number of threads", "[op][attention]") {
  Draw draw(38);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const AttentionCase few = random_case(draw, 3, 150, 170, 2, 72, dtype), many = random_case(draw, 20, 16, 16, 4, 40, dtype);
    for (const AttentionCase& c : {few, many}) {
      const Tensor<> y = run(c);
      for (std::int64_t b = 0; b < c.q.size(0); ++b) {
        const Tensor<> one = op::attention(narrow(c.q, 0, b, 1), narrow(c.k, 0, b, 1), narrow(c.v, 0, b, 1), {.scale = c.scale});
        REQUIRE(values_of(narrow(y, 0, b, 1)) == values_of(one));
      }
      CHECK(same_for_any_threads([&] { return run(c); }));
    }
  }
}

TEST_CASE("attention: NaN and infinity show, masks of minus infinity hold", "[op][attention]") {
  Draw draw(39);
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  AttentionCase c = random_case(draw, 1, 10, 100, 1, 16, DType::f32);
  c.bias = full({1, 10, 100}, 0.0, DType::f32);
  // Query 3 sees keys from 70 on only: its first block of keys is masked completely. Query 4 sees none.
  for (std::int64_t j = 0; j < 70; ++j) c.bias.data<float>()[3 * 100 + j] = -infinity;
  for (std::int64_t j = 0; j < 100; ++j) c.bias.data<float>()[4 * 100 + j] = -infinity;
  const std::vector<double> y = values_of(run(c));
  const std::vector<double> seen = values_of(op::attention(rows(c.q, 3, 1), rows(c.k, 70, 30), rows(c.v, 70, 30), {.scale = c.scale}));
  for (std::size_t e = 0; e < 16; ++e) {
    CHECK(std::abs(y[3 * 16 + e] - seen[e]) <= 8 * 0x1p-24);
    CHECK(std::isnan(y[4 * 16 + e]));
  }
  c.bias = {};
  c.k.data<float>()[55 * 16 + 2] = nan;
  for (const double e : values_of(run(c))) CHECK(std::isnan(e));
  c.k.data<float>()[55 * 16 + 2] = 0;
  c.q.data<float>()[7 * 16] = infinity;
  const std::vector<double> z = values_of(run(c));
  for (std::size_t i = 0; i < z.size(); ++i) CHECK(std::isnan(z[i]) == (i / 16 == 7));
}

TEST_CASE("attention writes where it is told", "[op][attention]") {
  Draw draw(40);
  const AttentionCase c = random_case(draw, 2, 21, 17, 3, 24, DType::f32);
  const Tensor<> y = run(c), all = full({3, 2, 21, 30}, 7.0, DType::f32);
  const Tensor<> window = permute(narrow(all, 3, 0, 24), {1, 2, 0, 3});  // [B, S, H, D]
  op::attention_into(window, c.q, c.k, c.v, options_of(c));
  CHECK(values_of(window) == values_of(y));
  for (const double e : values_of(narrow(all, 3, 24, 6))) CHECK(e == 7.0);
}

TEST_CASE("attention says what is wrong with its arguments", "[op][attention]") {
  const Tensor<> q = zeros({2, 5, 3, 8}, DType::f32), k = zeros({2, 7, 3, 8}, DType::f32);
  const auto ends = [](std::initializer_list<std::int64_t> e) { return tensor_of(e); };
  CHECK(message_of<ShapeError>([&] { op::attention(zeros({5, 3, 8}, DType::f32), k, k); }) == "attention: q must have rank 4, got f32[5, 3, 8]");
  CHECK(message_of<DTypeError>([&] { op::attention(zeros({2, 5, 3, 8}, DType::i64), k, k); }) == "attention: q must be floating, got i64[2, 5, 3, 8]");
  CHECK(message_of<ShapeError>([&] { op::attention(q, zeros({2, 7, 2, 8}, DType::f32), k); }) == "attention: k must have shape [2, 7, 3, 8], got f32[2, 7, 2, 8]");
  CHECK(message_of<DTypeError>([&] { op::attention(q, zeros({2, 7, 3, 8}, DType::bf16), k); }) == "attention: k must be f32, got bf16[2, 7, 3, 8]");
  CHECK(message_of<ShapeError>([&] { op::attention(q, k, q); }) == "attention: v must have shape [2, 7, 3, 8], got f32[2, 5, 3, 8]");
  CHECK(message_of<ArgumentError>([&] { op::attention(transpose(zeros({2, 5, 8, 3}, DType::f32), 2, 3), k, k); }) ==
        "attention: q must have stride 1 on its last axis, got strides [120, 24, 1, 3]");
  CHECK(message_of<ShapeError>([&] { op::attention(q, k, k, {.bias = zeros({3, 5, 6}, DType::f32)}); }) == "attention: bias must have shape [3, 5, 7], got f32[3, 5, 6]");
  CHECK(message_of<DTypeError>([&] { op::attention(q, k, k, {.bias = zeros({3, 5, 7}, DType::f64)}); }) == "attention: bias must be f32, got f64[3, 5, 7]");
  CHECK(message_of<ArgumentError>([&] { op::attention(q, k, k, {.segments_q = ends({0, 5})}); }) == "attention: segments_q and segments_k must be given together");
  const auto with = [&](const Tensor<>& a, const Tensor<>& b) { op::attention(q, k, k, {.segments_q = a, .segments_k = b}); };
  CHECK(message_of<DTypeError>([&] { with(tensor_of({0, 5}), ends({0, 7})); }) == "attention: segments_q must be i64, got i32[2]");
  CHECK(message_of<ArgumentError>([&] { with(ends({1, 5}), ends({0, 7})); }) == "attention: segments_q must start at 0, got 1");
  CHECK(message_of<ArgumentError>([&] { with(ends({0, 4, 3, 5}), ends({0, 1, 2, 7})); }) == "attention: segments_q must ascend, got 3 after 4 at index 2");
  CHECK(message_of<ArgumentError>([&] { with(ends({0, 5}), ends({0, 6})); }) == "attention: segments_k must end at 7, got 6");
  CHECK(message_of<ShapeError>([&] { with(ends({0, 2, 5}), ends({0, 7})); }) == "attention: segments_k must have shape [3], got i64[2]");
  CHECK(message_of<ArgumentError>([&] { op::attention(q, {}, k); }) == "attention: k has no value");
}
