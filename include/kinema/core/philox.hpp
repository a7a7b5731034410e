// kinema/core/philox.hpp - Philox 4x32-10: random bits as a pure function of (key, counter), on host and device.
//
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <kinema/core/config.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI {
/// What one call of philox() gives.
struct PhiloxBlock { std::uint32_t word[4]; };

/// 128 random bits for block `counter` of stream `key`.
KINEMA_HD inline PhiloxBlock philox(std::uint64_t key, std::uint64_t counter) {
  std::uint32_t k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
  PhiloxBlock x{{std::uint32_t(counter), std::uint32_t(counter >> 32), 0, 0}};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t(0xD2511F53u) * x.word[0], b = std::uint64_t(0xCD9E8D57u) * x.word[2];
    x = {{std::uint32_t(b >> 32) ^ x.word[1] ^ k0, std::uint32_t(b), std::uint32_t(a >> 32) ^ x.word[3] ^ k1, std::uint32_t(a)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return x;
}

}  // namespace kinema::inline KINEMA_ABI
