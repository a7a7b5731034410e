// kinema/io/sha256.hpp - SHA-256: recognises files and finds damage.
#pragma once

#include <kinema/core/config.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::io {

/// Digest of the bytes that were added, in any pieces. Source: FIPS 180-4, §5 and §6.2.
class Sha256 {
 public:
  Sha256& add(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const unsigned char*>(data);
    length_ += bytes;
    while (bytes > 0) {
      const std::size_t some = std::min(bytes, block_.size() - filled_);
      std::memcpy(block_.data() + filled_, from, some);
      filled_ += some;
      from += some;
      bytes -= some;
      if (filled_ == block_.size()) compress();
    }
    return *this;
  }
  Sha256& add(std::string_view text) { return add(text.data(), text.size()); }
  Sha256& add(std::span<const unsigned char> bytes) { return add(bytes.data(), bytes.size()); }
  /// Eight bytes, little-endian: for lengths, so that neighbouring pieces cannot be cut elsewhere unnoticed.
  Sha256& add(std::uint64_t number) {
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(number >> (8 * i));
    return add(bytes, sizeof bytes);
  }

  /// 64 hexadecimal digits.
  std::string hex() const {
    Sha256 last = *this;
    const std::uint64_t bits = length_ * 8;
    const unsigned char mark = 0x80, zero = 0;
    last.add(&mark, 1);
    while (last.filled_ != 56) last.add(&zero, 1);
    unsigned char end[8];
    for (unsigned i = 0; i < 8; ++i) end[i] = static_cast<unsigned char>(bits >> (56 - 8 * i));
    last.add(end, sizeof end);
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const std::uint32_t word : last.state_)
      for (int shift = 28; shift >= 0; shift -= 4) out += digits[(word >> shift) & 15];
    return out;
  }

 private:
  void compress() {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) {
      const unsigned char* b = block_.data() + 4 * i;
      w[i] = std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
    }
    for (std::size_t i = 16; i < 64; ++i) {
      const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
      const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25), choice = (e & f) ^ (~e & g);
      const std::uint32_t t1 = h + s1 + choice + constants[i] + w[i];
      const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + s0 + majority;
    }
    const std::uint32_t sums[] = {a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += sums[i];
    filled_ = 0;
  }

  /// Fractions of the cube roots of the first 64 primes.
  static constexpr std::uint32_t constants[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
      0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
      0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
      0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
      0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
      0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

  /// Fractions of the square roots of the first 8 primes.
  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_;
  std::size_t filled_ = 0;
  std::uint64_t length_ = 0;
};

}  // namespace kinema::inline KINEMA_ABI::io
