// kinema/model/cogvideox/quantization_error.hpp - what 8-bit weights cost in accuracy, block by block.
#pragma once

#include <kinema/model/cogvideox/pipeline.hpp>
#include <kinema/nn/quantize.hpp>

#include <functional>
#include <string>

namespace kinema::inline KINEMA_ABI::cogvideox {

/// Hears a block's name ("transformer_blocks.17") and its nn::contribution_error with 8-bit weights.
using OnBlockError = std::function<void(const std::string& block, double error)>;

/// Every block of the text encoder on the token ids [1, L]: with 8-bit weights against the weights as they are. Each block
/// gets the input that the blocks before it make with weights as they are, so that the errors are those of single blocks.
inline void quantization_errors(const t5::Encoder& encoder, const Tensor<>& ids, DType dtype, const OnBlockError& on_block) {
  Expect{"quantization_errors"}("ids", ids).rank(2).dtype(DType::i64);
  const Tensor<> bias = encoder.position_bias(ids.size(1));
  Tensor<> x = encoder.embed(ids, dtype);
  for (std::size_t i = 0; i < encoder.block.size(); ++i) {
    const Tensor<> want = encoder.block[i](x, bias), got = nn::quantized(encoder.block[i])(x, bias);
    on_block(cat("encoder.block.", i), nn::contribution_error(got, want, x));
    x = want;
  }
}

/// Every block of the transformer, in the same way. Operands as those of Transformer::operator().
inline void quantization_errors(const Transformer& network, const Tensor<>& latents, const Tensor<>& text, std::span<const std::int64_t> timesteps,
                                const Transformer::Positions& positions, const OnBlockError& on_block) {
  Tensor<> before = network.patch_embed(text, latents, positions.additive);
  const Tensor<> e = op::silu(network.conditioning(timesteps, 2.0, latents));
  const std::int64_t words = text.size(1);
  const Tensor<> runs = tensor_of<std::int64_t>(std::vector<std::int64_t>{words, 1, before.size(1), 0}, {2, 2});
  for (std::size_t i = 0; i < network.transformer_blocks.size(); ++i) {
    const Block& block = network.transformer_blocks[i];
    Tensor<> want = op::concat({before}, 0), got = op::concat({before}, 0);  // blocks overwrite what they are given
    block(want, e, positions.rotary, runs, words);
    nn::quantized(block)(got, e, positions.rotary, runs, words);
    on_block(cat("transformer_blocks.", i), nn::contribution_error(got, want, before));
    before = want;
  }
}

}  // namespace kinema::inline KINEMA_ABI::cogvideox
