// kinema/runtime/random.hpp - streams of normal numbers: kinema's own (Philox) and PyTorch's CPU generator.
#pragma once

#include <kinema/core/philox.hpp>
#include <kinema/tensor/create.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kinema::inline KINEMA_ABI {

/// A stream of standard normal numbers; every draw advances it. What noise is drawn from, and in which order, is part
/// of a pipeline's contract.
class NormalSource {
 public:
  virtual ~NormalSource() = default;
  virtual void normal(std::span<float> out) = 0;
  /// f32 tensor of fresh numbers, row-major.
  Tensor<> normal(const Shape& shape) {
    Tensor<> t = empty(shape, DType::f32);
    normal(std::span<float>(t.data<float>(), static_cast<std::size_t>(t.numel())));
    return t;
  }
  /// Everything that later draws depend on, as numbers to store.
  virtual std::vector<std::uint64_t> state() const = 0;
  /// Continues where state() was taken. Throws ArgumentError if the numbers are no state of this kind of stream.
  virtual void restore(std::span<const std::uint64_t> state) = 0;
};

/// Counter-based: number i of the stream is a pure function of (seed, i), so a stream can be resumed anywhere and is
/// independent of device and thread count. Copyable value.
class Generator : public NormalSource {
 public:
  explicit Generator(std::uint64_t seed, std::uint64_t offset = 0) : seed_(seed), offset_(offset) {}
  std::uint64_t offset() const { return offset_; }
  using NormalSource::normal;
  /// Box-Muller on 24-bit uniforms; consumes one offset per number.
  void normal(std::span<float> out) override {
    for (float& value : out) value = at(offset_++);
  }
  /// Uniform in [0, 1).
  double uniform() {
    const PhiloxBlock b = philox(seed_, (std::uint64_t{1} << 63) | offset_++);  // its own half of the counters
    return static_cast<double>(((std::uint64_t{b.word[0]} << 32) | b.word[1]) >> 11) * 0x1p-53;
  }
  /// Uniform in 0 … n-1, n from 1 to 2^40; the bias of a choice is below 2^-12.
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(uniform() * static_cast<double>(n)); }
  /// Seed and offset.
  std::vector<std::uint64_t> state() const override { return {seed_, offset_}; }
  void restore(std::span<const std::uint64_t> state) override {
    if (state.size() != 2) throw ArgumentError(cat("random stream: the state of a philox stream has 2 numbers, got ", state.size()));
    seed_ = state[0];
    offset_ = state[1];
  }

 private:
  float at(std::uint64_t i) const {
    const PhiloxBlock b = philox(seed_, i / 4);
    const std::size_t pair = i % 4 / 2 * 2;
    const double u = (static_cast<double>(b.word[pair] >> 8) + 0.5) * 0x1p-24, v = static_cast<double>(b.word[pair + 1] >> 8) * 0x1p-24;
    const double r = std::sqrt(-2.0 * std::log(u)), a = 6.283185307179586 * v;
    return static_cast<float>(r * (i % 2 == 0 ? std::cos(a) : std::sin(a)));
  }
  std::uint64_t seed_, offset_;
};

/// The seed of stream `index` among the streams of `seed`: independent of its neighbours and of the numbers that
/// Generator(seed) itself draws.
inline std::uint64_t derived_seed(std::uint64_t seed, std::uint64_t index) {
  const PhiloxBlock b = philox(seed, (std::uint64_t{1} << 62) | index);  // normals count from 0, uniforms from 2^63
  return (std::uint64_t{b.word[0]} << 32) | b.word[1];
}

/// PyTorch's CPU generator: the same Mersenne twister stream, layout and order of draws as torch.randn in f32; values
/// agree within 1.5e-6, because torch evaluates log, cos and sin with fast polynomials.
/// Only the low 32 bits of the seed count, as in torch.
class TorchCpuGenerator : public NormalSource {
 public:
  explicit TorchCpuGenerator(std::uint64_t seed) {
    state_[0] = static_cast<std::uint32_t>(seed);
    for (std::uint32_t j = 1; j < state_.size(); ++j) state_[j] = 1812433253u * (state_[j - 1] ^ (state_[j - 1] >> 30)) + j;
  }
  using NormalSource::normal;
  void normal(std::span<float> out) override {
    if (out.size() < 16) {
      for (float& value : out) value = static_cast<float>(single());
      return;
    }
    for (float& value : out) value = uniform24();
    std::size_t o = 0;
    for (; o + 16 <= out.size(); o += 16) box_muller(out.subspan(o, 16));
    if (o < out.size()) {  // the last 16 are drawn again and overlap the last full block
      const auto tail = out.last(16);
      for (float& value : tail) value = uniform24();
      box_muller(tail);
    }
  }
  /// The 624 words of the twister, the place of the next one, and whether and which number is left over from a pair.
  std::vector<std::uint64_t> state() const override {
    std::vector<std::uint64_t> out(state_.begin(), state_.end());
    out.push_back(next_);
    out.push_back(cached_ ? 1 : 0);
    out.push_back(std::bit_cast<std::uint64_t>(cached_.value_or(0.0)));
    return out;
  }
  void restore(std::span<const std::uint64_t> state) override {
    constexpr std::size_t n = 624;
    if (state.size() != n + 3) throw ArgumentError(cat("random stream: the state of a torch-cpu stream has ", n + 3, " numbers, got ", state.size()));
    for (std::size_t i = 0; i < n; ++i)
      if (state[i] > 0xffffffffu) throw ArgumentError(cat("random stream: word ", i, " is beyond 32 bits: ", state[i]));
    if (state[n] > n || state[n + 1] > 1) throw ArgumentError(cat("random stream: the place must be at most ", n, " and the flag 0 or 1, got ", state[n], " and ", state[n + 1]));
    for (std::size_t i = 0; i < n; ++i) state_[i] = static_cast<std::uint32_t>(state[i]);
    next_ = state[n];
    cached_ = state[n + 1] == 1 ? std::optional(std::bit_cast<double>(state[n + 2])) : std::nullopt;
  }

 private:
  std::uint32_t word() {
    if (next_ == state_.size()) refill();
    std::uint32_t y = state_[next_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }
  void refill() {
    constexpr std::size_t n = 624, m = 397;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % n] & 0x7fffffffu);
      state_[i] = state_[(i + m) % n] ^ (y >> 1) ^ ((y & 1u) != 0 ? 0x9908b0dfu : 0u);
    }
    next_ = 0;
  }
  float uniform24() { return static_cast<float>(word() & 0xffffffu) * 0x1p-24f; }
  double uniform53() {
    const std::uint64_t high = word(), low = word();
    return static_cast<double>(((high << 32) | low) & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
  }
  static void box_muller(std::span<float> block) {
    for (std::size_t j = 0; j < 8; ++j) {
      const double r = std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(block[j])));
      const double a = 6.283185307179586 * static_cast<double>(block[j + 8]);
      block[j] = static_cast<float>(r * std::cos(a));
      block[j + 8] = static_cast<float>(r * std::sin(a));
    }
  }
  double single() {
    if (cached_) {
      const double value = *cached_;
      cached_.reset();
      return value;
    }
    const double u1 = uniform53(), u2 = uniform53();
    const double r = std::sqrt(-2.0 * std::log1p(-u2)), a = 6.283185307179586 * u1;
    cached_ = r * std::sin(a);
    return r * std::cos(a);
  }

  std::array<std::uint32_t, 624> state_;
  std::size_t next_ = 624;
  std::optional<double> cached_;
};

}  // namespace kinema::inline KINEMA_ABI
