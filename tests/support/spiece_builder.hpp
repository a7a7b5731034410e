// tests/support/spiece_builder.hpp - writes spiece.model files field by field, right ones and wrong ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kinema::test {

/// Protobuf's wire format, without any check.
struct Wire {
  std::string out;
  Wire& raw(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
    out.push_back(static_cast<char>(v));
    return *this;
  }
  Wire& varint(std::uint32_t field, std::uint64_t v) { return raw(field << 3).raw(v); }
  Wire& bytes(std::uint32_t field, std::string_view v) {
    raw(field << 3 | 2).raw(v.size());
    out.append(v);
    return *this;
  }
  Wire& float32(std::uint32_t field, float v) {
    raw(field << 3 | 5);
    char b[4];
    std::memcpy(b, &v, 4);
    out.append(b, 4);
    return *this;
  }
};

inline std::string spiece(std::string_view text, float score, int type = 1) {
  return Wire{}.bytes(1, text).float32(2, score).varint(3, static_cast<std::uint64_t>(type)).out;
}

using Rules = std::vector<std::pair<std::string, std::string>>;

/// A double-array trie in which every node owns a block of 256 units, in front of the replacements.
struct CharsmapBuilder {
  std::vector<std::uint32_t> units;
  std::string pool;

  explicit CharsmapBuilder(const Rules& rules) {
    struct Node { std::map<unsigned char, std::size_t> next; int rule = -1; };
    std::vector<Node> nodes(1);
    for (std::size_t r = 0; r < rules.size(); ++r) {
      std::size_t at = 0;
      for (const char c : rules[r].first) {
        const auto label = static_cast<unsigned char>(c);
        if (!nodes[at].next.count(label)) {
          nodes[at].next[label] = nodes.size();
          nodes.emplace_back();
        }
        at = nodes[at].next[label];
      }
      nodes[at].rule = static_cast<int>(r);
    }
    std::vector<std::uint32_t> value;
    for (const auto& rule : rules) {
      value.push_back(static_cast<std::uint32_t>(pool.size()));
      pool += rule.second;
      pool.push_back('\0');
    }
    units.resize(256 * (nodes.size() + 1));
    for (std::size_t i = 0; i < units.size(); ++i) units[i] = static_cast<std::uint32_t>(i & 255) ^ 1;  // a label that no look-up here asks for
    const auto base = [](std::size_t node) { return static_cast<std::uint32_t>(256 * (node + 1)); };
    units[0] = base(0) << 10;
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      for (const auto& [label, child] : nodes[n].next) {
        const std::uint32_t id = base(n) ^ label;
        units[id] = ((id ^ base(child)) << 10) | (nodes[child].rule >= 0 ? 0x100u : 0u) | label;
      }
      if (nodes[n].rule >= 0) units[base(n)] = value[static_cast<std::size_t>(nodes[n].rule)] | 0x80000000u;
    }
  }
  std::string blob() const {
    std::string out(4 + 4 * units.size(), '\0');
    const auto bytes = static_cast<std::uint32_t>(4 * units.size());
    std::memcpy(out.data(), &bytes, 4);
    std::memcpy(out.data() + 4, units.data(), 4 * units.size());
    return out + pool;
  }
};

/// A valid model in parts, each of which a test may replace.
struct SpieceFile {
  std::vector<std::string> pieces = {spiece("<pad>", 0, 3), spiece("</s>", 0, 3), spiece("<unk>", 0, 2), spiece("\u2581", -2.0f),
                                     spiece("a", -3.0f), spiece("b", -3.5f), spiece("ab", -4.0f), spiece("\u2581a", -2.5f),
                                     spiece("\u00e9", -6.0f), spiece("zz", 0.0f, 4), spiece("ba", -1.0f, 5)};
  std::string trainer = Wire{}.varint(3, 1).varint(40, 2).varint(41, ~std::uint64_t{0}).varint(42, 1).varint(43, 0).out;
  std::string charsmap = CharsmapBuilder(Rules{{"\t", " "}, {"A", "a"}, {"e\u0301", "\u00e9"}}).blob();
  std::string extra_normalizer;

  std::string bytes() const {
    Wire w;
    for (const std::string& p : pieces) w.bytes(1, p);
    w.bytes(2, trainer);
    Wire n;
    n.bytes(1, "test").bytes(2, charsmap);
    w.bytes(3, n.out + extra_normalizer);
    return w.out;
  }
};

}  // namespace kinema::test
