// kinema/nn/module.hpp - one visit() per module: the list of weights, under the names they have in the checkpoint.
//
// Loading, saving, counting, moving and initialising are all visitors, so a name is written once and cannot drift.
#pragma once

#include <kinema/autograd/tape.hpp>
#include <kinema/core/function_ref.hpp>
#include <kinema/nn/parameter.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kinema::inline KINEMA_ABI::nn {

/// Walks a module tree. A dotted name ("to_out.0") bridges places where the reference nests a module that we do not need.
class Visitor {
 public:
  explicit Visitor(function_ref<void(const std::string&, Parameter&)> on_parameter) : on_parameter_(on_parameter) {}

  void operator()(std::string_view name, Parameter& p) {
    const std::size_t before = enter(name);
    on_parameter_(path_, p);
    path_.resize(before);
  }
  template <class M>
    requires requires(M& m, Visitor& v) { m.visit(v); }
  void operator()(std::string_view name, M& child) {  // "module" would be a keyword to nvcc
    const std::size_t before = enter(name);
    child.visit(*this);
    path_.resize(before);
  }
  template <class T> void operator()(std::string_view name, std::optional<T>& maybe) {
    if (maybe) (*this)(name, *maybe);
  }
  template <class T> void operator()(std::string_view name, std::vector<T>& list) {
    const std::size_t before = enter(name);
    for (std::size_t i = 0; i < list.size(); ++i) (*this)(std::to_string(i), list[i]);
    path_.resize(before);
  }

 private:
  std::size_t enter(std::string_view name) {
    const std::size_t before = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    return before;
  }
  function_ref<void(const std::string&, Parameter&)> on_parameter_;
  std::string path_;
};

template <class M>
concept Module = requires(M& m, Visitor& v) { m.visit(v); };

/// Calls f(name, parameter) for every parameter, in the order of visit().
template <Module M, class F>
void for_each_parameter(M& root, F&& f) {
  Visitor v{f};
  root.visit(v);
}

/// Number of scalar weights.
template <Module M>
std::int64_t count_parameters(M& root) {
  std::int64_t n = 0;
  for_each_parameter(root, [&](const std::string&, Parameter& p) { n += p.shape().numel(); });
  return n;
}

/// Asks the tape for the gradients of all parameters: then g[p.value()] is that of p.
template <Module M>
void watch(autograd::Tape& tape, M& root) {
  for_each_parameter(root, [&](const std::string&, Parameter& p) { tape.watch(p.value()); });
}

/// Forgets all values, so that their memory can be used again.
template <Module M>
void release(M& root) {
  for_each_parameter(root, [](const std::string&, Parameter& p) { p.release(); });
}

}  // namespace kinema::inline KINEMA_ABI::nn
