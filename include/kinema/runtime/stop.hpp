// kinema/runtime/stop.hpp - ending a long call from outside: a question that is asked before every op.
#pragma once

#include <kinema/core/error.hpp>
#include <kinema/runtime/context.hpp>

#include <concepts>
#include <functional>
#include <stop_token>
#include <string_view>
#include <utility>

namespace kinema::inline KINEMA_ABI {

/// Whether the caller wants a call to end: a std::stop_token, or any question such as "has the signal come?". It is asked
/// often and on the calling thread. Default: never.
class Stop {
 public:
  Stop() = default;
  Stop(std::stop_token token) : question_([token = std::move(token)] { return token.stop_requested(); }) {}  // NOLINT: implicit
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Stop> && std::predicate<F&>)
  Stop(F question) : question_(std::move(question)) {}  // NOLINT: implicit

  bool requested() const { return question_ && question_(); }
  /// Throws Interrupted if the caller wants the call to end.
  void check() const {
    if (requested()) throw Interrupted("interrupted");
  }

 private:
  std::function<bool()> question_;
};

/// While it lives, an op that the calling thread launches throws Interrupted instead of starting once `stop` is requested.
/// So a call ends within one op's time, wherever it is. Borrows `stop`; an observer that is attached stays attached.
class StopScope : private Observer {
 public:
  explicit StopScope(const Stop& stop) : stop_(stop), context_(cpu_context()), before_(context_.observer) {
    stop_.check();
    context_.observer = this;
  }
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;
  ~StopScope() override { context_.observer = before_; }

 private:
  void begin(std::string_view op, Device device, double flops) override {
    stop_.check();
    if (before_) before_->begin(op, device, flops);
  }
  void end(std::string_view op, Device device) override {
    if (before_) before_->end(op, device);
  }

  const Stop& stop_;
  CpuContext& context_;
  Observer* before_;
};

}  // namespace kinema::inline KINEMA_ABI
