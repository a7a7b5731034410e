// tests/kernel/cuda/block_test.cpp - the words of device code on the host, and the reductions built from them.
#include <kinema/kernel/cuda/detail/block.cuh>

#include "support/catch.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace cuda = kinema::kernel::cuda;
namespace device = kinema::kernel::cuda::device;
using host_execution::KernelError;
using host_execution::Order;

namespace {

__global__ void index_kernel(int* out) {
  const auto t = device::thread(), b = device::block(), e = device::block_extent(), g = device::grid_extent();
  const unsigned in_block = t.x + e.x * (t.y + e.y * t.z), of_block = b.x + g.x * (b.y + g.y * b.z);
  out[of_block * (e.x * e.y * e.z) + in_block] += static_cast<int>(1 + t.x + 10 * t.y + 100 * b.x + 1000 * b.z);
}

template <class F>
__global__ void sum_kernel(const float* x, int n, float* out, F combine) {
  float v = x[0];
  for (int i = static_cast<int>(device::thread().x); i < n; i += static_cast<int>(device::block_extent().x)) v = i ? combine(v, x[i]) : v;
  const float all = cuda::block_reduce(v, combine, device::shared<float>());
  out[device::thread().x] = all;
}

__global__ void reverse_kernel(int* x, bool barrier) {
  int* s = device::shared<int>();
  const unsigned t = device::thread().x, n = device::block_extent().x;
  s[t] = x[t];
  if (barrier) device::sync_block();
  x[t] = s[n - 1 - t];
}

__global__ void divergent_barrier() {
  if (device::thread().x % 2) device::sync_block();
  else device::sync_block();
}
__global__ void early_exit() {
  if (device::thread().x == 3) return;
  device::sync_block();
}
__global__ void missing_lane() {
  if (device::thread().x != 5) device::shuffle_xor(1, 1);
}
__global__ void barrier_against_shuffle() {
  if (device::thread().x < 7) device::sync_block();
  else device::shuffle(1.0f, 0);
}
__global__ void absent_lane() { device::shuffle(1, 20); }
__global__ void read_shared(float* out) { *out = device::shared<float>()[3]; }
__global__ void throwing() {
  device::sync_block();
  if (device::thread().x == 9) throw std::runtime_error("from a thread");
  device::sync_block();
}

struct WithOrder {
  explicit WithOrder(Order o) { host_execution::order = o; }
  ~WithOrder() { host_execution::order = Order::ascending; }
};

}  // namespace

TEST_CASE("every thread of every block runs once and knows its place") {
  kinema::CudaContext ctx;
  const device::Launch how{.grid = {3, 1, 2}, .block = {5, 4}};
  std::vector<int> out(6 * 20, 0);
  device::launch(ctx, "index", how, index_kernel, out.data());
  for (int z = 0; z < 2; ++z)
    for (int x = 0; x < 3; ++x)
      for (int t = 0; t < 20; ++t) CHECK(out[static_cast<std::size_t>((x + 3 * z) * 20 + t)] == 1 + t % 5 + 10 * (t / 5) + 100 * x + 1000 * z);
}

TEST_CASE("block_reduce gives every thread the same sum, in any order of threads") {
  kinema::CudaContext ctx;
  std::vector<float> x(1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(0.3f * static_cast<float>(i));
  std::vector<float> first;
  for (const Order order : {Order::ascending, Order::descending, Order::random}) {
    const WithOrder with(order);
    for (const unsigned threads : {32u, 64u, 256u, 1024u}) {
      std::vector<float> sums(threads), maxima(threads);
      const device::Launch how{.grid = {1}, .block = {threads}, .shared_bytes = threads / 32 * sizeof(float)};
      device::launch(ctx, "sum", how, sum_kernel<cuda::Add>, x.data(), 1000, sums.data(), cuda::Add{});
      device::launch(ctx, "max", how, sum_kernel<cuda::Larger>, x.data(), 1000, maxima.data(), cuda::Larger{});
      for (std::size_t t = 1; t < threads; ++t) CHECK(sums[t] == sums[0]);
      CHECK(maxima[threads - 1] == *std::max_element(x.begin(), x.end()));
      if (threads == 256) first.push_back(sums[0]);
    }
  }
  CHECK(first[0] == first[1]);
  CHECK(first[0] == first[2]);
}

TEST_CASE("turning the order of threads around shows a missing barrier") {
  kinema::CudaContext ctx;
  const auto right = [&](Order order, bool barrier) {
    const WithOrder with(order);
    std::vector<int> x(64);
    for (int i = 0; i < 64; ++i) x[static_cast<std::size_t>(i)] = i;
    device::launch(ctx, "reverse", {.grid = {1}, .block = {64}, .shared_bytes = 64 * sizeof(int)}, reverse_kernel, x.data(), barrier);
    bool same = true;
    for (int i = 0; i < 64; ++i) same = same && x[static_cast<std::size_t>(i)] == 63 - i;
    return same;
  };
  CHECK(right(Order::ascending, true));
  CHECK(right(Order::descending, true));
  CHECK(right(Order::random, true));
  CHECK_FALSE(right(Order::ascending, false));
  CHECK_FALSE(right(Order::descending, false));
}

TEST_CASE("barriers and exchanges that not all threads reach are errors that say where") {
  kinema::CudaContext ctx;
  const auto says = [&](void (*kernel)(), unsigned threads, std::initializer_list<std::string_view> words) {
    try {
      device::launch(ctx, "bad", {.grid = {1}, .block = {threads}}, kernel);
    } catch (const KernelError& e) {
      const std::string_view text = e.what();
      INFO(text);
      for (const std::string_view w : words) CHECK(text.find(w) != text.npos);
      return true;
    }
    return false;
  };
  CHECK(says(divergent_barrier, 64, {"divergent barrier", "thread (1, 0, 0)", "block_test.cpp:"}));
  CHECK(says(early_exit, 64, {"divergent barrier", "thread (3, 0, 0) of block (0, 0, 0) has ended"}));
  CHECK(says(missing_lane, 64, {"divergent warp exchange", "thread (5, 0, 0)"}));
  CHECK(says(barrier_against_shuffle, 32, {"divergent warp exchange", "waits in sync_block"}));
  CHECK(says(absent_lane, 16, {"lane 20"}));
}

TEST_CASE("an exception in one thread ends the block and leaves the layer usable") {
  kinema::CudaContext ctx;
  CHECK_THROWS_WITH(device::launch(ctx, "throwing", {.grid = {2}, .block = {32}}, throwing), "from a thread");
  std::vector<int> out(20, 0);
  device::launch(ctx, "index", {.grid = {1}, .block = {5, 4}}, index_kernel, out.data());
  CHECK(out[19] == 1 + 4 + 30);
}

TEST_CASE("shared memory starts as NaN") {
  kinema::CudaContext ctx;
  float v = 0;
  device::launch(ctx, "read", {.grid = {1}, .block = {1}, .shared_bytes = 16}, read_shared, &v);
  CHECK(std::isnan(v));
}

TEST_CASE("launches that a device would refuse are refused") {
  kinema::CudaContext ctx;
  using kinema::BackendError;
  const auto go = [&](const device::Launch& how) { device::launch(ctx, "none", how, early_exit); };
  CHECK_THROWS_AS(go({.grid = {0}, .block = {32}}), BackendError);
  CHECK_THROWS_AS(go({.grid = {1, 65536}, .block = {32}}), BackendError);
  CHECK_THROWS_AS(go({.grid = {1}, .block = {1025}}), BackendError);
  CHECK_THROWS_AS(go({.grid = {1}, .block = {64, 32}}), BackendError);
  CHECK_THROWS_AS(go({.grid = {1}, .block = {32}, .shared_bytes = 228 * 1024}), BackendError);
}

TEST_CASE("packs load and store every element once, rounded once") {
  alignas(16) kinema::bf16 x[16], y[16];
  for (int i = 0; i < 16; ++i) x[i] = kinema::bf16(0.1f * static_cast<float>(i));
  float v[8];
  cuda::load<8>(x + 8, v);
  for (int i = 0; i < 8; ++i) CHECK(v[i] == static_cast<float>(x[8 + i]));
  cuda::store<8>(y + 8, v);
  for (int i = 8; i < 16; ++i) CHECK(y[i].bits == x[i].bits);
  CHECK(cuda::aligned(x, kinema::DType::bf16, 8));
  CHECK_FALSE(cuda::aligned(x + 1, kinema::DType::bf16, 8));
  CHECK(cuda::aligned(x + 1, kinema::DType::bf16, 1));
}

namespace {
// Two reductions one after the other through the same shared memory, as a norm does.
__global__ void two_sums(float* out) {
  float* s = device::shared<float>();
  const float first = cuda::block_reduce(1.0f, cuda::Add{}, s);
  const float second = cuda::block_reduce(2.0f, cuda::Add{}, s);
  out[device::thread().x] = 1000 * first + second;
}
}  // namespace

TEST_CASE("a reduction leaves its shared memory free for the next") {
  kinema::CudaContext ctx;
  for (const Order order : {Order::ascending, Order::descending, Order::random}) {
    const WithOrder with(order);
    std::vector<float> out(128);
    device::launch(ctx, "two", {.grid = {1}, .block = {128}, .shared_bytes = 4 * sizeof(float)}, two_sums, out.data());
    for (const float v : out) CHECK(v == 128256.0f);
  }
}
