// examples/kinema/adapters.hpp - --lora FILE[:weight]: adapters named on the command line or in a recipe.
#pragma once

#include "recipe.hpp"

#include <kinema/model/cogvideox/config.hpp>
#include <kinema/model/cogvideox/plan.hpp>
#include <kinema/nn/lora.hpp>

#include <string>
#include <vector>

namespace program {

/// Files and weights of the words that followed --lora. Exit 2 for a weight that is no number.
std::vector<LoraFile> named_loras(const std::vector<std::string>& words);

bool same_loras(const std::vector<LoraFile>& a, const std::vector<LoraFile>& b);

/// Reads the adapters and says what is odd about them on stderr. Where each came from and what it holds is noted in
/// `files`; one that a recipe names must still hold the same values. Exit 3 for what does not fit the transformer.
std::vector<kinema::nn::Lora> read_loras(std::vector<LoraFile>& files, const kinema::cogvideox::TransformerConfig& config);

/// What they will cost.
kinema::cogvideox::Adapters adapters_of(const std::vector<kinema::nn::Lora>& loras, bool merged);

}  // namespace program
