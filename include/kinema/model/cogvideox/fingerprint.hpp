// kinema/model/cogvideox/fingerprint.hpp - recognises a model in milliseconds, whatever its size.
#pragma once

#include <kinema/io/sha256.hpp>
#include <kinema/model/cogvideox/model_folder.hpp>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// SHA-256 over the configurations, the tokenizer, and of every weight file its size, its header and 16 blocks of 4 KiB
/// spread over its data: equal for copies of a model, different for other weights of the same shapes. Where the folder
/// lies and what its files are called does not matter.
inline std::string fingerprint(const ModelFolder& folder) {
  constexpr std::uint64_t blocks = 16, block_bytes = 4096;
  constexpr std::uint64_t most_bytes = std::uint64_t{64} << 20;  // of a configuration or a tokenizer
  io::Sha256 all;
  const auto add_text = [&](std::string_view text) { all.add(static_cast<std::uint64_t>(text.size())).add(text); };
  for (const char* file : {"scheduler/scheduler_config.json", "text_encoder/config.json", "tokenizer/spiece.model", "transformer/config.json", "vae/config.json"})
    add_text(io::read_file(folder.path() / file, most_bytes));
  add_text(folder.config().image_to_video ? "image-to-video" : "text-to-video");
  for (const io::Checkpoint* weights : {&folder.text_weights(), &folder.transformer_weights(), &folder.vae_weights()})
    for (const io::Safetensors& shard : weights->shards()) {
      const std::span<const unsigned char> bytes = shard.file().bytes(), data = bytes.subspan(shard.header().data);
      all.add(static_cast<std::uint64_t>(bytes.size())).add(bytes.first(shard.header().data));
      for (std::uint64_t i = 0; i < blocks; ++i) {
        const std::uint64_t most = data.size() > block_bytes ? data.size() - block_bytes : 0, at = most * i / (blocks - 1);
        all.add(data.subspan(at, std::min<std::uint64_t>(block_bytes, data.size() - at)));
      }
    }
  return all.hex();
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
