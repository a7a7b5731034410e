// kinema/model/t5/config.hpp - sizes of a T5 v1.1 encoder.
#pragma once

#include <kinema/core/error.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

namespace kinema::inline KINEMA_ABI::t5 {

/// Fields of text_encoder/config.json, under the reference's names. The defaults here are T5 v1.1 XXL, CogVideoX's text
/// encoder. Source: transformers configuration_t5.py.
struct Config {
  std::int64_t vocab_size = 32128, d_model = 4096, d_kv = 64, d_ff = 10240, num_layers = 24, num_heads = 64;
  std::int64_t relative_attention_num_buckets = 32, relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
  std::string feed_forward_proj = "gated-gelu";

  std::int64_t inner() const { return num_heads * d_kv; }  ///< need not equal d_model

  /// What the reference assumes for a field that the file does not have: a T5 v1.0 small.
  static Config class_defaults() {
    Config c;
    c.d_model = 512, c.d_ff = 2048, c.num_layers = 6, c.num_heads = 8;
    c.feed_forward_proj = "relu";
    return c;
  }
};

/// Throws ConfigError, naming the field, its value and what is allowed, before anything is allocated.
inline void validate(const Config& c) {
  const auto range = [](std::string_view name, std::int64_t v, std::int64_t low, std::int64_t high) {
    if (v < low || v > high) throw ConfigError(cat(name, ": must be ", low, " to ", high, ", got ", v));
  };
  constexpr std::int64_t widest = 1 << 20;  // no released model comes near; products of two sizes stay inside 63 bits
  range("vocab_size", c.vocab_size, 1, 1 << 24);
  range("d_model", c.d_model, 1, widest);
  range("d_kv", c.d_kv, 1, 4096);
  range("num_heads", c.num_heads, 1, 4096);
  range("num_heads * d_kv", c.inner(), 1, widest);
  range("d_ff", c.d_ff, 1, widest);
  range("num_layers", c.num_layers, 1, 1024);
  range("relative_attention_num_buckets", c.relative_attention_num_buckets, 4, 65536);
  if (c.relative_attention_num_buckets % 2 != 0)
    throw ConfigError(cat("relative_attention_num_buckets: must be even, got ", c.relative_attention_num_buckets));
  range("relative_attention_max_distance", c.relative_attention_max_distance, c.relative_attention_num_buckets / 4 + 1, 1 << 24);
  if (!(c.layer_norm_epsilon > 0 && c.layer_norm_epsilon < 1e30))
    throw ConfigError(cat("layer_norm_epsilon: must be a positive number, got ", c.layer_norm_epsilon));
  if (c.feed_forward_proj != "gated-gelu")
    throw ConfigError(cat("feed_forward_proj: must be gated-gelu (T5 v1.1), got \"", printable(c.feed_forward_proj), "\""));
}

}  // namespace kinema::inline KINEMA_ABI::t5
