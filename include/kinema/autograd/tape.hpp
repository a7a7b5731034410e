// kinema/autograd/tape.hpp - reverse-mode gradients: ops record themselves on the thread's tape, which is played backwards.
//
//   autograd::Tape tape;
//   nn::watch(tape, model);                                  // or tape.watch(w) for one tensor
//   Tensor<> loss;
//   { const autograd::Tape::Scope on(tape); loss = objective(model, batch); }
//   const autograd::Gradients g = tape.backward(loss);       // consumes the tape, freeing activations as it goes
//   g[w]                                                     // dL/dw, in the shape of w; no value if L does not depend on w
//
// How an op gets its gradient: its front end in op/ records after the launch, with the tensors that the kernel read and wrote.
//
//   if (autograd::Tape* tape = autograd::Tape::following({&x, &w}))
//     tape->record("mul", {x, w}, {y}, [x = autograd::Saved(x), w = autograd::Saved(w)](autograd::Backward& back) {
//       if (back.wants(0)) back.add(0, mul(back.of(0), w));    // of(i): gradient of output i; add(i, g): to that of input i
//       if (back.wants(1)) back.add(1, mul(back.of(0), x));
//     });
//
// * Identity is the storage. A gradient is a buffer with the layout of a storage, and a view of a tensor is the same
//   view of its gradient: reshape, narrow, permute and select cost nothing, here as there. An input that repeats elements
//   (expand) gets the sum over the repetitions. An op that writes into a window of an existing tensor records that window.
// * What an op records in `inputs` and `outputs` is remembered as a window, not kept alive. Values that backward needs
//   are captured as Saved; until they are released, writing to them in place is refused (Expect::Argument::writable,
//   which every op that overwrites a tensor must call).
// * Gradients have the compute type of their tensor: f64 for f64, else f32. A backward function meets gradients of that
//   type and may add any floating type and any strides. What it saved may be narrower: cast first.
// * An op without a gradient calls autograd::no_gradient, so that nothing is lost in silence.
// * Backward runs with recording off: there are no second derivatives. Order and bits do not depend on the number of threads.
#pragma once

#include <kinema/kernel/layout.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/slice.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/layout.hpp>
#endif

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace kinema::inline KINEMA_ABI::autograd {

/// The type of gradients of tensors of type t.
inline DType gradient_type(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

/// A tensor whose value a backward function needs: until it is released, nobody may write to it in place.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor<>& t) : tensor_(t), reader_(t ? new Reader{t.storage()} : nullptr) {}
  operator const Tensor<>&() const { return tensor_; }
  const Tensor<>& value() const { return tensor_; }
  explicit operator bool() const { return static_cast<bool>(tensor_); }

 private:
  struct Reader {
    explicit Reader(std::shared_ptr<const Storage> s) : storage(std::move(s)) { storage->readers.enter(); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { storage->readers.leave(); }
    std::shared_ptr<const Storage> storage;
  };
  Tensor<> tensor_;
  std::shared_ptr<const Reader> reader_;
};

namespace detail {

/// The gradient of everything that lies in one storage, in elements of the storage's order.
struct Buffer {
  Device device;
  DType dtype;               ///< of the gradient
  std::int64_t numel;
  std::size_t element;       ///< bytes of an element in the storage
  Tensor<> gradient;         ///< [numel], no value as long as it is zero
  int writers = 0;           ///< recorded ops that write to the storage
  bool watched = false;
};

/// A window on a storage, without keeping it alive.
struct Window {
  Buffer* buffer = nullptr;  ///< none: not followed
  std::int64_t first = 0;
  Shape shape, stride;

  bool is_whole() const {
    std::int64_t step = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      if (shape[i] != 1 && stride[i] != step) return false;
      step *= shape[i];
    }
    return first == 0 && step == buffer->numel;
  }
  /// Whether every element of the storage is in it, once.
  bool covers() const {
    for (int i = 0; i < shape.rank(); ++i)
      if (shape[i] > 1 && stride[i] == 0) return false;
    return shape.numel() == buffer->numel;
  }
  /// The same window on a buffer of the storage's layout.
  Tensor<> of(const Tensor<>& flat) const {
    Ref r = flat.ref();
    r.data = static_cast<char*>(r.data) + first * static_cast<std::int64_t>(size_of(r.dtype));
    r.shape = shape;
    r.stride = stride;
    return flat.window(r);
  }
};

/// Zero in every element of a window.
inline void clear(const Tensor<>& window) {
  if (window.numel() > 0) launch(kernel::Copy{.x = expand(zeros({1}, window.dtype(), window.device()), window.shape()), .y = window}, window.device());
}

inline void make_own(Tensor<>& gradient) {
  if (gradient.is_only_handle()) return;
  Tensor<> own = empty_like(gradient);
  launch(kernel::Copy{.x = gradient, .y = own}, gradient.device());
  gradient = std::move(own);
}

/// Adds g to a window of the gradient; the first addition to a whole storage takes g as it is.
inline void add(const Window& window, Tensor<> g) {
  Buffer& buffer = *window.buffer;
  if (g.numel() == 0) return;
  if (!buffer.gradient) {
    if (g.dtype() == buffer.dtype && g.is_contiguous() && window.is_whole()) {
      buffer.gradient = reshape(g, {buffer.numel});
      return;
    }
    buffer.gradient = empty({buffer.numel}, buffer.dtype, buffer.device);
    if (window.covers()) return launch(kernel::Copy{.x = g, .y = window.of(buffer.gradient)}, buffer.device);
    clear(buffer.gradient);
  }
  make_own(buffer.gradient);
  launch(kernel::Accumulate{.x = g, .y = window.of(buffer.gradient)}, buffer.device);
}

}  // namespace detail

/// What a backward function is given: the gradients of its op's outputs. It adds to those of the inputs.
class Backward {
 public:
  /// Gradient of output i, in its shape, perhaps strided; no value if nothing depends on that output.
  const Tensor<>& of(std::size_t i) const { return outputs_[i]; }
  /// Whether input i leads to something that is watched; otherwise its gradient need not be computed.
  bool wants(std::size_t i) const { return inputs_[i].buffer != nullptr; }
  /// Adds g, of the input's shape, to the gradient of input i. Throws ShapeError if the shapes differ.
  void add(std::size_t i, Tensor<> g) {
    if (!wants(i)) return;
    if (!(g.shape() == inputs_[i].shape))
      throw ShapeError(cat(name_, ": the gradient of input ", i, " must have shape ", inputs_[i].shape, ", got ", to_string(g)));
    added_.emplace_back(i, std::move(g));
  }

 private:
  friend class Tape;
  Backward(std::string_view name, const std::vector<detail::Window>& inputs) : name_(name), inputs_(inputs) {}
  std::string_view name_;
  const std::vector<detail::Window>& inputs_;
  std::vector<Tensor<>> outputs_;
  std::vector<std::pair<std::size_t, Tensor<>>> added_;
};

/// Gradients of what was watched.
class Gradients {
 public:
  /// The gradient of a watched tensor or a view of one, in its shape; no value if the result did not depend on it.
  /// Throws ArgumentError for a tensor that was not watched.
  Tensor<> operator[](const Tensor<>& t) const {
    const auto found = buffers_.find(t.storage());
    if (found == buffers_.end()) throw ArgumentError(cat("gradients: a tensor was asked for that was not watched, ", to_string(t)));
    if (!found->second) return {};
    const auto first = (static_cast<const char*>(t.ref().data) - static_cast<const char*>(t.storage()->data)) / static_cast<std::int64_t>(size_of(t.dtype()));
    return detail::Window{nullptr, first, t.shape(), t.strides()}.of(found->second);
  }

 private:
  friend class Tape;
  std::map<std::weak_ptr<const Storage>, Tensor<>, std::owner_less<>> buffers_;  ///< flat, of the storage's layout
};

/// Records ops while a scope is open, and plays them backwards once. Not shared between threads.
class Tape {
 public:
  using Function = std::function<void(Backward&)>;

  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Makes the calling thread record on `tape` (or on none) until the scope ends.
  class Scope {
   public:
    explicit Scope(Tape& tape) : Scope(&tape) {}
    explicit Scope(std::nullptr_t) : Scope(static_cast<Tape*>(nullptr)) {}
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { here() = before_; }

   private:
    explicit Scope(Tape* tape) : before_(here()) { here() = tape; }
    Tape* before_;
  };

  /// The tape that the calling thread records on, or none.
  static Tape* current() { return here(); }
  /// The current tape, if it follows one of these tensors (no value: none), else none: one comparison when nothing records.
  static Tape* following(std::initializer_list<const Tensor<>*> tensors) {
    Tape* tape = here();
    if (!tape) return nullptr;
    for (const Tensor<>* t : tensors)
      if (*t && tape->follows(*t)) return tape;
    return nullptr;
  }

  /// Asks for the gradient of t, a floating tensor. Twice is once. Throws DTypeError.
  void watch(const Tensor<>& t) {
    Expect{"watch"}("tensor", t).floating();
    buffer_of(t).watched = true;
  }
  /// Whether the result of an op on t would have to be recorded.
  bool follows(const Tensor<>& t) const { return buffers_.contains(t.storage()); }
  std::size_t size() const { return nodes_.size(); }  ///< ops recorded

  /// Notes an op: what it read, what it wrote, and how gradients get from the one to the other. Inputs without value and
  /// inputs that the tape does not follow are allowed. `name` must outlive the tape: a literal.
  void record(std::string_view name, std::initializer_list<Tensor<>> inputs, std::initializer_list<Tensor<>> outputs, Function backward) {
    record(name, std::vector<Tensor<>>(inputs), std::vector<Tensor<>>(outputs), std::move(backward));
  }
  void record(std::string_view name, const std::vector<Tensor<>>& inputs, const std::vector<Tensor<>>& outputs, Function backward) {
    Node node{name, {}, {}, std::move(backward)};
    for (const Tensor<>& t : inputs) node.inputs.push_back(t && follows(t) ? window_of(t) : detail::Window{nullptr, 0, t ? t.shape() : Shape{}, {}});
    for (const Tensor<>& t : outputs) {
      node.outputs.push_back(window_of(t));
      ++node.outputs.back().buffer->writers;
    }
    nodes_.push_back(std::move(node));
  }

  /// Gradients of everything watched, from dL/dy = dy (1 for a single element, if not given). Consumes the tape.
  /// Throws ArgumentError if y does not depend on anything watched, ShapeError if dy does not fit.
  Gradients backward(const Tensor<>& y, const Tensor<>& dy = {}) {
    const Expect expect{"backward"};
    expect("y", y);
    expect.that(follows(y), "the result depends on nothing that is watched, got ", to_string(y));
    if (dy) expect("dy", dy).shape(y.shape()).floating().on(y.device());
    else if (y.numel() != 1) throw ShapeError(cat("backward: y must be a single element unless its gradient is given, got ", to_string(y)));
    const Scope off(nullptr);
    detail::add(window_of(y), dy ? dy : full(y.shape(), 1.0, gradient_type(y.dtype()), y.device()));
    auto buffers = std::exchange(buffers_, {});  // nodes point to its elements, which do not move
    for (std::vector<Node> nodes = std::exchange(nodes_, {}); !nodes.empty(); nodes.pop_back()) play(nodes.back());
    Gradients result;
    for (auto& [storage, buffer] : buffers)
      if (buffer.watched) result.buffers_.emplace(storage, std::move(buffer.gradient));
    return result;
  }

 private:
  struct Node {
    std::string_view name;
    std::vector<detail::Window> inputs, outputs;
    Function backward;
  };

  static Tape*& here() {
    static thread_local Tape* tape = nullptr;
    return tape;
  }

  detail::Buffer& buffer_of(const Tensor<>& t) {
    const std::size_t element = size_of(t.dtype());
    const auto [at, is_new] = buffers_.try_emplace(
        t.storage(), detail::Buffer{t.device(), gradient_type(t.dtype()), static_cast<std::int64_t>(t.storage()->bytes / element), element, {}, 0, false});
    if (at->second.element != element || at->second.dtype != gradient_type(t.dtype()))
      throw DTypeError(cat("tape: one storage is used with elements of different types, among them ", t.dtype()));
    return at->second;
  }
  detail::Window window_of(const Tensor<>& t) {
    const auto bytes = static_cast<const char*>(t.ref().data) - static_cast<const char*>(t.storage()->data);
    return {&buffer_of(t), bytes / static_cast<std::int64_t>(size_of(t.dtype())), t.shape(), t.strides()};
  }

  /// Runs one node backwards: the gradients of its outputs end here, before those of its inputs grow.
  static void play(Node& node) {
    Backward back(node.name, node.inputs);
    bool reached = false;
    for (const detail::Window& w : node.outputs) {
      back.outputs_.push_back(w.buffer->gradient ? w.of(w.buffer->gradient) : Tensor<>{});
      reached = reached || back.outputs_.back();
    }
    if (reached) node.backward(back);
    node.backward = nullptr;
    back.outputs_.clear();
    for (const detail::Window& w : node.outputs) {
      detail::Buffer& buffer = *w.buffer;
      if (--buffer.writers == 0 && !buffer.watched) buffer.gradient = {};
      else if (buffer.gradient) {
        detail::make_own(buffer.gradient);
        detail::clear(w.of(buffer.gradient));
      }
    }
    for (auto& [i, g] : back.added_) detail::add(node.inputs[i], std::exchange(g, {}));
  }

  std::vector<Node> nodes_;
  std::map<std::weak_ptr<const Storage>, detail::Buffer, std::owner_less<>> buffers_;  ///< by storage; its address may be used again, its owner not
};

/// For an op that has no gradient: throws Unsupported if one is asked for.
inline void no_gradient(std::string_view op, std::initializer_list<const Tensor<>*> inputs) {
  if (Tape::following(inputs)) throw Unsupported(cat(op, ": has no gradient, but a tape follows its input"));
}

}  // namespace kinema::inline KINEMA_ABI::autograd
