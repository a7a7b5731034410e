// tests/op/embedding_test.cpp - look-up tables: exact gathers, the reference's sinusoids, relative position buckets.
#include <kinema/op/embedding.hpp>

#include "support/catch.hpp"
#include "support/reference/embedding.hpp"

#include <random>

using namespace kinema;
using namespace kinema::test;

namespace {

constexpr DType floating_types[] = {DType::f64, DType::f32, DType::bf16, DType::f16};

/// Element i as a double.
double at(const Tensor<>& t, std::int64_t i) {
  double v = 0;
  dispatch_floating(t.dtype(), "test", [&]<class T>(Type<T>) { v = static_cast<double>(static_cast<compute_t<T>>(t.data<T>()[i])); });
  return v;
}
/// Small integers, which every floating type holds exactly.
Tensor<> integers(const Shape& shape, DType dtype) {
  Tensor<> t = empty(shape, dtype);
  dispatch_floating(dtype, "test", [&]<class T>(Type<T>) {
    for (std::int64_t i = 0; i < t.numel(); ++i) t.data<T>()[i] = T(static_cast<compute_t<T>>(i * 37 % 251 - 125));
  });
  return t;
}
/// One column: row b holds b.
Tensor<> integers_from_0(std::int64_t rows) {
  Tensor<> t = empty({rows, 1}, DType::f32);
  for (std::int64_t i = 0; i < rows; ++i) t.data<float>()[i] = static_cast<float>(i);
  return t;
}
template <class E, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "(nothing thrown)";
}

}  // namespace

TEST_CASE("embedding gathers rows exactly, in every pair of types", "[op][embedding]") {
  std::mt19937 random(1);
  for (const DType table_type : floating_types)
    for (const DType type : floating_types)
      for (const std::int64_t c : {0, 1, 7, 8, 9, 17, 64})
        for (const std::int64_t n : {0, 1, 5, 40}) {
          CAPTURE(to_string(table_type), to_string(type), c, n);
          const Tensor<> whole = integers({13, c + 3}, table_type);
          const Tensor<> table = narrow(whole, 1, 2, c);  // rows with a stride of their own
          std::vector<std::int64_t> ids;
          for (std::int64_t i = 0; i < n; ++i) ids.push_back(static_cast<std::int64_t>(random() % 13));
          const Tensor<> y = op::embedding(tensor_of(ids, {1, n}), table, type);
          REQUIRE(y.shape() == Shape{1, n, c});
          REQUIRE(y.dtype() == type);
          bool equal = true;
          for (std::int64_t i = 0; i < n; ++i)
            for (std::int64_t j = 0; j < c; ++j)
              equal = equal && at(y, i * c + j) == at(whole, ids[static_cast<std::size_t>(i)] * (c + 3) + j + 2);
          CHECK(equal);
        }
}

TEST_CASE("embedding rounds once, and keeps the table's type by default", "[op][embedding]") {
  const Tensor<> table = tensor_of(std::vector<float>{1.0f + 0x1p-9f, 1.0f + 0x1p-8f + 0x1p-20f, -0x1.fffffep0f, 3e38f}, {2, 2});
  const Tensor<> ids = tensor_of<std::int64_t>({1, 0});
  CHECK(op::embedding(ids, table).dtype() == DType::f32);
  const Tensor<> y = op::embedding(ids, table, DType::bf16);
  CHECK(at(y, 0) == -2.0);
  CHECK(y.data<bf16>()[1].bits == bf16(3e38f).bits);
  CHECK(at(y, 2) == 1.0);
  CHECK(at(y, 3) == 1.0 + 0x1p-7);
}

TEST_CASE("embedding names what does not fit", "[op][embedding]") {
  const Tensor<> table = integers({4, 3}, DType::f32);
  CHECK(message_of<ArgumentError>([&] { op::embedding(tensor_of<std::int64_t>({0, 4}), table); }) == "embedding: ids must be 0 to 3, got 4 at index 1");
  CHECK(message_of<ArgumentError>([&] { op::embedding(tensor_of<std::int64_t>({-1}), table); }) == "embedding: ids must be 0 to 3, got -1 at index 0");
  CHECK(message_of<DTypeError>([&] { op::embedding(integers({2}, DType::f32), table); }) == "embedding: ids must be i64, got f32[2]");
  CHECK(message_of<ShapeError>([&] { op::embedding(tensor_of<std::int64_t>({0}), integers({4}, DType::f32)); }) == "embedding: table must have rank 2, got f32[4]");
  CHECK(message_of<DTypeError>([&] { op::embedding(tensor_of<std::int64_t>({0}), zeros({4, 3}, DType::i64)); }) == "embedding: table must be floating, got i64[4, 3]");
  CHECK(message_of<ArgumentError>([&] { op::embedding(tensor_of<std::int64_t>({0}), transpose(table, 0, 1)); }).find("stride 1 on its last axis") != std::string::npos);
  CHECK(message_of<ArgumentError>([&] { op::embedding(tensor_of<std::int64_t>({0}), table, DType::i64); }) == "embedding: the result must be floating, got i64");
  CHECK(message_of<ArgumentError>([&] { op::embedding({}, table); }) == "embedding: ids has no value");
}

TEST_CASE("timestep_embedding is sine and cosine of angles rounded as the reference rounds them", "[op][embedding]") {
  for (const std::int64_t width : {2, 3, 16, 17, 144, 512, 1920, 3072})
    for (const double shift : {0.0, 0.5})
      for (const bool flip : {true, false}) {
        CAPTURE(width, shift, flip);
        const std::vector<double> t{0, 1, 2, 259, 999, 0.75};
        const Tensor<> y = op::timestep_embedding(tensor_of(t, {6}), width, flip, shift);
        REQUIRE(y.dtype() == DType::f32);
        REQUIRE(y.shape() == Shape{6, width});
        const std::int64_t half = width / 2;
        bool equal = true;
        for (std::int64_t b = 0; b < 6; ++b) {
          for (std::int64_t k = 0; k < half; ++k) {
            const double angle = reference::timestep_angle(t[static_cast<std::size_t>(b)], k, half, shift);
            const float* row = y.data<float>() + b * width;
            equal = equal && row[flip ? half + k : k] == static_cast<float>(std::sin(angle));
            equal = equal && row[flip ? k : half + k] == static_cast<float>(std::cos(angle));
          }
          if (width % 2 == 1) equal = equal && y.data<float>()[b * width + width - 1] == 0.0f;
        }
        CHECK(equal);
      }
  const Tensor<> from_integers = op::timestep_embedding(tensor_of<std::int64_t>({999, 3}), 64), from_floats = op::timestep_embedding(tensor_of<float>({999, 3}), 64);
  for (std::int64_t i = 0; i < 128; ++i) CHECK(from_integers.data<float>()[i] == from_floats.data<float>()[i]);
}

TEST_CASE("timestep_embedding has the published values", "[op][embedding]") {
  struct Row { std::int64_t width; double t; std::vector<std::pair<std::int64_t, double>> values; };
  const Row rows[] = {
      {1920, 999, {{0, .9996498}, {1, -.9901626}, {2, .9867164}, {480, -.8444698}, {959, .9949176}, {960, -.02646075}, {961, .1399215}, {962, -.1624518}, {1919, .1006921}}},
      {3072, 999, {{0, .9996498}, {1, .9598385}, {2, .8075269}, {768, -.8444698}, {1535, .9949540}, {1536, -.02646075}, {1537, .2805532}, {1538, .5898307}, {3071, .1003317}}},
      {512, 2, {{0, -.4161468}, {1, -.3508952}, {2, -.2862854}, {128, .9998000}, {255, 1}, {256, .9092974}, {257, .9364148}, {258, .9581444}, {511, 2.073267e-4}}},
  };
  double worst = 0;
  for (const Row& row : rows) {
    const Tensor<> y = op::timestep_embedding(tensor_of<double>({row.t}), row.width);
    for (const auto& [index, value] : row.values) worst = std::max(worst, std::abs(static_cast<double>(y.data<float>()[index]) - value));
  }
  CHECK(worst < 1e-6);
}

TEST_CASE("timestep_embedding names what does not fit", "[op][embedding]") {
  const Tensor<> t = tensor_of<std::int64_t>({1});
  CHECK(message_of<ArgumentError>([&] { op::timestep_embedding(t, 1); }) == "timestep_embedding: width must be 2 or more, got 1");
  CHECK(message_of<ArgumentError>([&] { op::timestep_embedding(t, 4, true, 2.0); }) == "timestep_embedding: freq_shift must be below width / 2 = 2, got 2");
  CHECK(message_of<ShapeError>([&] { op::timestep_embedding(zeros({1, 1}, DType::i64), 4); }) == "timestep_embedding: t must have rank 1, got i64[1, 1]");
  CHECK(message_of<DTypeError>([&] { op::timestep_embedding(zeros({1}, DType::bf16), 4); }) == "timestep_embedding: t must be i64, f32 or f64, got bf16[1]");
  CHECK(op::timestep_embedding(zeros({0}, DType::i64), 4).shape() == Shape{0, 4});
}

TEST_CASE("relative_position_bias puts every distance into its bucket", "[op][embedding]") {
  struct Case { std::int64_t buckets, max_distance; };
  for (const Case& c : {Case{32, 128}, Case{16, 40}, Case{4, 2}, Case{6, 9}, Case{64, 1000}, Case{12, 12}})
    for (const DType type : floating_types)
      for (const std::int64_t s : {0, 1, 2, 9, 150}) {
        CAPTURE(c.buckets, c.max_distance, to_string(type), s);
        const Tensor<> table = integers({c.buckets, 3}, type);
        const Tensor<> y = op::relative_position_bias(table, s, c.buckets, c.max_distance);
        REQUIRE(y.shape() == Shape{3, s, s});
        REQUIRE(y.dtype() == (type == DType::f64 ? DType::f64 : DType::f32));
        bool equal = true;
        for (std::int64_t h = 0; h < 3; ++h)
          for (std::int64_t q = 0; q < s; ++q)
            for (std::int64_t k = 0; k < s; ++k)
              equal = equal && at(y, (h * s + q) * s + k) == at(table, reference::position_bucket(k - q, c.buckets, c.max_distance) * 3 + h);
        CHECK(equal);
      }
}

TEST_CASE("relative_position_bias: where the logarithmic buckets begin", "[op][embedding]") {
  constexpr std::int64_t s = 1000;
  const Tensor<> y = op::relative_position_bias(integers_from_0(32), s, 32, 128);
  const auto bucket_of = [&](std::int64_t r) { return static_cast<std::int64_t>(r < 0 ? at(y, -r * s) : at(y, r)); };
  const std::pair<std::int64_t, std::int64_t> first[] = {{8, 8}, {12, 9}, {16, 10}, {23, 11}, {32, 12}, {46, 13}, {64, 14}, {91, 15}};
  for (const auto& [n, bucket] : first) {
    CHECK(bucket_of(-n) == bucket);
    CHECK(bucket_of(1 - n) == bucket - 1);
    CHECK(bucket_of(n) == bucket + 16);
  }
  CHECK(bucket_of(0) == 0);
  CHECK(bucket_of(999) == 31);
}

TEST_CASE("relative_position_bias takes any strides and names what does not fit", "[op][embedding]") {
  const Tensor<> table = integers({32, 5}, DType::f32);
  Tensor<> swapped = empty({5, 32}, DType::f32);
  for (std::int64_t b = 0; b < 32; ++b)
    for (std::int64_t h = 0; h < 5; ++h) swapped.data<float>()[h * 32 + b] = table.data<float>()[b * 5 + h];
  const Tensor<> x = op::relative_position_bias(table, 20, 32, 128), y = op::relative_position_bias(transpose(swapped, 0, 1), 20, 32, 128);
  for (std::int64_t i = 0; i < x.numel(); ++i) REQUIRE(x.data<float>()[i] == y.data<float>()[i]);
  CHECK(message_of<ShapeError>([&] { op::relative_position_bias(table, 4, 16, 128); }) == "relative_position_bias: table must have size 16 on axis 0, got f32[32, 5]");
  CHECK(message_of<ArgumentError>([&] { op::relative_position_bias(integers({5, 1}, DType::f32), 4, 5, 128); }) == "relative_position_bias: num_buckets must be even and 4 or more, got 5");
  CHECK(message_of<ArgumentError>([&] { op::relative_position_bias(table, 4, 32, 8); }) == "relative_position_bias: max_distance must be above num_buckets / 4 = 8, got 8");
  CHECK(message_of<ArgumentError>([&] { op::relative_position_bias(table, -1, 32, 128); }) == "relative_position_bias: the sequence length must not be negative, got -1");
}

TEST_CASE("look-up tables have the same bits for any number of threads", "[op][embedding]") {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < 226; ++i) ids.push_back(i * 7 % 50);
  std::vector<Tensor<>> first;
  for (const int threads : {1, 2, 3, 16}) {
    CpuContext context(threads);
    const CpuScope scope(context);
    const std::vector<Tensor<>> now{op::embedding(tensor_of(ids, {226}), integers({50, 33}, DType::bf16), DType::f32), op::timestep_embedding(tensor_of(ids, {226}), 130),
                                    op::relative_position_bias(integers({32, 7}, DType::f32), 50, 32, 128)};
    if (first.empty()) first = now;
    for (std::size_t i = 0; i < now.size(); ++i) CHECK(std::memcmp(now[i].data<float>(), first[i].data<float>(), now[i].bytes()) == 0);
  }
}
