// kinema/nn/load.hpp - fills a module from a TensorSource; all problems are reported together.
#pragma once

#include <kinema/nn/module.hpp>
#include <kinema/op/elementwise.hpp>
#include <kinema/op/matmul.hpp>
#include <kinema/op/reduce.hpp>
#include <kinema/tensor/source.hpp>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace kinema::inline KINEMA_ABI::nn {
/// How load() treats weights.
struct LoadOptions {
  /// Weights are rounded to this type; none keeps the file's type, zero-copy (ops compute in their input's type).
  std::optional<DType> dtype;
  /// Which of the weights that can be are kept as 8-bit integers with a scale for each row (op::quantize_rows), by name;
  /// none unless given.
  std::function<bool(const std::string& name)> quantize;
  /// Refuses NaN and infinities, naming the tensor. Costs one pass over the weights.
  bool check_finite = true;
  /// Pages of the file go back to the system after each tensor's check: for weights that are streamed (nn/stream.hpp).
  bool forget_pages = false;
  /// File names that mean a parameter of another name: {"encoder.embed_tokens.weight", "shared.weight"}.
  std::vector<std::pair<std::string, std::string>> aliases;
};

/// What loading noticed without it being an error.
struct LoadReport {
  std::vector<std::string> unused;  ///< names in the file that no parameter asked for
};

namespace detail {

inline std::string listed(const std::vector<std::string>& lines, std::size_t at_most = 40) {
  std::string out;
  for (std::size_t i = 0; i < lines.size() && i < at_most; ++i) out += "\n  " + lines[i];
  if (lines.size() > at_most) out += cat("\n  … and ", lines.size() - at_most, " more");
  return out;
}

/// "a, b, … and 3 more", names escaped.
inline std::string listed_inline(const std::vector<std::string>& names, std::size_t at_most = 20) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < at_most; ++i) out += cat(i ? ", " : "", printable(names[i]));
  return names.size() > at_most ? cat(out, ", … and ", names.size() - at_most, " more") : out;
}

inline std::string source_name(const TensorSource& file, const std::string& name, const LoadOptions& options) {
  if (file.contains(name)) return name;
  for (const auto& [alias, target] : options.aliases)
    if (target == name && file.contains(alias)) return alias;
  return {};
}

}  // namespace detail

/// Checks names, shapes and dtypes of a whole module against `file` without touching a weight. Throws CheckpointError
/// with every problem; returns what the file has beyond the module.
template <Module M>
LoadReport check_against(M& module, const TensorSource& file, const LoadOptions& options = {}) {
  std::vector<std::string> problems;
  std::set<std::string> used;
  std::size_t wanted = 0;
  for_each_parameter(module, [&](const std::string& name, Parameter& p) {
    ++wanted;
    const std::string key = detail::source_name(file, name, options);
    if (key.empty()) {
      problems.push_back(cat("missing  ", name, "  (the configuration wants ", p.shape(), ")"));
      return;
    }
    used.insert(key);
    if (!(file.shape(key) == p.shape()))
      problems.push_back(cat("shape    ", name, "  the configuration wants ", p.shape(), ", the file has ", file.shape(key)));
    else if (!is_floating(file.dtype(key)))
      problems.push_back(cat("dtype    ", name, "  weights must be f64, f32, f16 or bf16, the file has ", file.dtype(key)));
  });
  if (!problems.empty())
    throw CheckpointError(cat(file.description(), ": ", problems.size(), problems.size() == 1 ? " problem" : " problems", " in ",
                              wanted, " weights", detail::listed(problems)));
  LoadReport report;
  for (const std::string& name : file.names())
    if (!used.count(name)) report.unused.push_back(name);
  return report;
}

/// Fills every parameter. Throws CheckpointError (names, shapes, dtypes; all problems at once) or NonFiniteError.
template <Module M>
LoadReport load(M& module, const TensorSource& file, const LoadOptions& options = {}) {
  const LoadReport report = check_against(module, file, options);
  for_each_parameter(module, [&](const std::string& name, Parameter& p) {
    const std::string key = detail::source_name(file, name, options);
    Tensor<> value = file.get(key);
    if (options.check_finite) {
      const std::int64_t at = op::first_non_finite(value);
      if (at >= 0) throw NonFiniteError(cat(file.description(), ": ", name, ": element ", at, " is not a finite number"));
    }
    Tensor<> scale;
    const bool quantized = options.quantize && p.takes_scale() && options.quantize(name), rounded = !quantized && options.dtype && value.dtype() != *options.dtype;
    if (quantized) {
      op::QuantizedRows rows = op::quantize_rows(value);
      value = std::move(rows.integers), scale = std::move(rows.scale);
    }
    if (rounded) {
      value = op::cast(value, *options.dtype);
      // A weight that rounding makes infinite would surface hours later as a black frame.
      const std::int64_t at = options.check_finite ? op::first_non_finite(value) : -1;
      if (at >= 0) throw NonFiniteError(cat(file.description(), ": ", name, ": element ", at, " is beyond the range of ", *options.dtype));
    }
    if (quantized || rounded || options.forget_pages) file.forget(key);  // the copy is what is read from now on
    p.set(std::move(value), std::move(scale));
  });
  return report;
}

}  // namespace kinema::inline KINEMA_ABI::nn
