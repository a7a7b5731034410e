// kinema/nn/lora.hpp - low-rank adapters: read by name, merged into the weights at load or added by the layers at run time.
//
// Merged costs a copy of every adapted matrix and nothing afterwards; at run time costs 2 rank (in + out) operations per
// token and layer, and the weights stay where they are (in the file, with their pages shared).
// Source: "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685; names as peft and diffusers store them.
#pragma once

#include <kinema/nn/load.hpp>
#include <kinema/nn/module.hpp>
#include <kinema/op/matmul.hpp>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::nn {

/// An adapter of one model: updates by the path of the linear layer they belong to.
struct Lora {
  std::string description;                ///< for messages: where it came from
  std::map<std::string, LowRank> updates;  ///< "transformer_blocks.0.attn1.to_q" → its update
};

namespace detail {

/// What a name in an adapter file says.
struct LoraName {
  enum class Role { down, up, alpha, dora };
  std::string module;
  Role role;
};

inline std::optional<LoraName> lora_name(std::string_view name) {
  using Role = LoraName::Role;
  static constexpr std::pair<std::string_view, Role> endings[] = {
      {".lora_A.weight", Role::down}, {".lora_B.weight", Role::up}, {".lora.down.weight", Role::down}, {".lora.up.weight", Role::up},
      {".lora_magnitude_vector", Role::dora}, {".lora_magnitude_vector.weight", Role::dora}, {".dora_scale", Role::dora}, {".alpha", Role::alpha}};
  for (const auto& [ending, role] : endings)
    if (name.size() > ending.size() && name.ends_with(ending)) return LoraName{std::string(name.substr(0, name.size() - ending.size())), role};
  return std::nullopt;
}

}  // namespace detail

/// alpha of a module, given its path and rank; the update's scale is alpha / rank.
using LoraAlpha = std::function<double(const std::string& module, std::int64_t rank)>;

/// What read_lora found.
struct LoraReading {
  Lora lora;
  std::vector<std::string> remarks;  ///< worth telling a person
};

/// Reads an adapter. Every module needs `….lora_A.weight` [rank, in] and `….lora_B.weight` [out, rank] (older files:
/// `.lora.down.weight`, `.lora.up.weight`), floating; ranks may differ. A scalar `….alpha` overrules `alpha`; without either
/// alpha is the rank. `prefix` ("transformer") in front of the names is taken off; files without any prefix are taken too.
/// Throws CheckpointError with every problem, NonFiniteError, or ArgumentError for a weight that is no finite number.
inline LoraReading read_lora(const TensorSource& file, const std::string& prefix, double weight = 1, const LoraAlpha& alpha = {}) {
  using Role = detail::LoraName::Role;
  if (!std::isfinite(weight)) throw ArgumentError(cat("lora: the weight must be a finite number, got ", weight));
  struct Found { std::string down, up, alpha; };
  std::map<std::string, Found> found;
  std::vector<std::string> problems, ignored;
  const std::vector<std::string> names = file.names();
  const bool prefixed = std::any_of(names.begin(), names.end(), [&](const std::string& n) { return n.starts_with(prefix + "."); });
  for (const std::string& name : names) {
    const auto what = detail::lora_name(name);
    if (!what) problems.push_back(cat("name     ", printable(name), "  is no part of a LoRA (….lora_A.weight, ….lora_B.weight)"));
    else if (prefixed && !name.starts_with(prefix + ".")) problems.push_back(cat("name     ", printable(name), "  belongs to another component; only the ", prefix, " takes a LoRA"));
    else if (what->role == Role::dora) ignored.push_back(name);
    else {
      Found& f = found[prefixed ? what->module.substr(prefix.size() + 1) : what->module];
      std::string& place = what->role == Role::down ? f.down : what->role == Role::up ? f.up : f.alpha;
      if (!place.empty()) problems.push_back(cat("name     ", printable(name), "  says the same as ", printable(place)));
      place = name;
    }
  }
  LoraReading r;
  r.lora.description = file.description();
  for (const auto& [module, f] : found) {
    if (f.down.empty() || f.up.empty()) {
      problems.push_back(cat("missing  ", printable(module), "  has no ", f.down.empty() ? "lora_A" : "lora_B"));
      continue;
    }
    const Shape down = file.shape(f.down), up = file.shape(f.up);
    if (down.rank() != 2 || up.rank() != 2 || down[0] != up[1] || down[0] < 1) {
      problems.push_back(cat("shape    ", printable(module), "  lora_A must be [rank, in] and lora_B [out, rank] with a rank of at least 1, found ", down, " and ", up));
      continue;
    }
    if (!is_floating(file.dtype(f.down)) || !is_floating(file.dtype(f.up))) {
      problems.push_back(cat("dtype    ", printable(module), "  must be f64, f32, f16 or bf16, found ", file.dtype(f.down), " and ", file.dtype(f.up)));
      continue;
    }
    double a = alpha ? alpha(module, down[0]) : static_cast<double>(down[0]);
    if (!f.alpha.empty()) {
      if (file.shape(f.alpha).numel() != 1 || !is_floating(file.dtype(f.alpha))) {
        problems.push_back(cat("shape    ", printable(f.alpha), "  must be one floating number, found ", file.dtype(f.alpha), file.shape(f.alpha)));
        continue;
      }
      a = *op::cast(file.get(f.alpha), DType::f64).data<double>();
    }
    if (!std::isfinite(a)) {
      problems.push_back(cat("alpha    ", printable(module), "  must be a finite number, found ", a));
      continue;
    }
    const LowRank update{file.get(f.down), file.get(f.up), weight * a / static_cast<double>(down[0])};
    for (const auto& [name, t] : {std::pair{f.down, update.down}, std::pair{f.up, update.up}})
      if (const std::int64_t at = op::first_non_finite(t); at >= 0)
        throw NonFiniteError(cat(file.description(), ": ", printable(name), ": element ", at, " is not a finite number"));
    r.lora.updates.emplace(module, update);
  }
  if (!problems.empty())
    throw CheckpointError(cat(file.description(), ": ", problems.size(), problems.size() == 1 ? " problem" : " problems", " in a LoRA", detail::listed(problems)));
  if (r.lora.updates.empty()) throw CheckpointError(cat(file.description(), ": holds no LoRA: there is no ….lora_A.weight with its ….lora_B.weight"));
  if (!ignored.empty()) r.remarks.push_back(cat(file.description(), ": ", ignored.size(), " magnitudes (DoRA) are ignored, as the reference does"));
  return r;
}

/// How much of an adapter a model takes.
struct LoraMatch {
  std::size_t matched = 0;
  std::vector<std::string> unmatched;  ///< modules of the adapter that the model does not have
};

/// Checks an adapter against a model, without a weight. Throws CheckpointError if no module matches, or one matches a
/// layer of another size or kind.
template <Module M>
LoraMatch match_lora(M& model, const Lora& lora) {
  std::map<std::string, Shape> layers;
  for_each_parameter(model, [&](const std::string& name, Parameter& p) {
    if (name.ends_with(".weight")) layers.emplace(name.substr(0, name.size() - 7), p.shape());
  });
  LoraMatch match;
  std::vector<std::string> problems;
  for (const auto& [module, update] : lora.updates) {
    const auto layer = layers.find(module);
    if (layer == layers.end()) {
      match.unmatched.push_back(module);
      continue;
    }
    ++match.matched;
    const Shape made{update.up.size(0), update.down.size(1)};
    if (layer->second.rank() != 2) problems.push_back(cat("kind     ", printable(module), "  is not a linear layer, a LoRA cannot change it"));
    else if (!(layer->second == made)) problems.push_back(cat("shape    ", printable(module), "  the model has ", layer->second, ", the LoRA is for ", made));
  }
  if (!problems.empty())
    throw CheckpointError(cat(lora.description, ": made for another model: ", problems.size(), problems.size() == 1 ? " problem" : " problems", detail::listed(problems)));
  if (match.matched == 0)
    throw CheckpointError(cat(lora.description, ": none of its ", lora.updates.size(), " modules is in the model; the first is ", printable(lora.updates.begin()->first),
                              ", the model has ", layers.empty() ? "none" : printable(layers.begin()->first)));
  return match;
}

/// The layers add the update from now on; of modules that match_lora() matched. Factors are rounded to `dtype`.
template <Module M>
void add_lora(M& model, const Lora& lora, DType dtype) {
  for_each_parameter(model, [&](const std::string& name, Parameter& p) {
    if (!name.ends_with(".weight")) return;
    const auto u = lora.updates.find(name.substr(0, name.size() - 7));
    if (u != lora.updates.end()) p.add_update({op::cast(u->second.down, dtype), op::cast(u->second.up, dtype), u->second.scale});
  });
}

/// A checkpoint as it is with adapters merged: W + sum of scale up down, summed in f32 (f64 for f64) and rounded once to
/// the type of W. Everything else is the checkpoint's own.
class MergedLora final : public TensorSource {
 public:
  MergedLora(const TensorSource& base, const std::vector<Lora>& loras) : base_(&base), loras_(&loras) {}
  std::vector<std::string> names() const override { return base_->names(); }
  bool contains(std::string_view name) const override { return base_->contains(name); }
  Shape shape(std::string_view name) const override { return base_->shape(name); }
  DType dtype(std::string_view name) const override { return base_->dtype(name); }
  void forget(std::string_view name) const override { base_->forget(name); }
  void prefetch(std::string_view name) const override { base_->prefetch(name); }
  std::string description() const override { return base_->description(); }

  Tensor<> get(std::string_view name) const override {
    const Tensor<> weight = base_->get(name);
    if (!name.ends_with(".weight")) return weight;
    const DType wide = weight.dtype() == DType::f64 ? DType::f64 : DType::f32;
    const std::string module(name.substr(0, name.size() - 7));
    Tensor<> sum;
    for (const Lora& lora : *loras_) {
      const auto u = lora.updates.find(module);
      if (u == lora.updates.end()) continue;
      if (!sum) sum = op::cast(weight, wide);
      sum = op::combine({1.0, u->second.scale}, {sum, op::matmul(op::cast(u->second.up, wide), op::cast(u->second.down, wide))});
    }
    if (!sum) return weight;
    base_->forget(name);
    return op::cast(sum, weight.dtype());
  }

 private:
  const TensorSource* base_;
  const std::vector<Lora>* loras_;
};

}  // namespace kinema::inline KINEMA_ABI::nn
