// kinema/core/function_ref.hpp - a callable that is only borrowed for the duration of a call.
#pragma once

#include <kinema/core/config.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace kinema::inline KINEMA_ABI {

template <class Signature> class function_ref;

/// Non-owning: the callable must outlive the function_ref. Costs two pointers and no allocation.
template <class R, class... A>
class function_ref<R(A...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, function_ref> && !std::is_function_v<std::remove_reference_t<F>> && std::is_invocable_r_v<R, F&, A...>)
  function_ref(F&& f)  // NOLINT: implicit on purpose, arguments are written as lambdas
      : object_{.data = const_cast<void*>(static_cast<const void*>(std::addressof(f)))},
        call_([](Object o, A... a) -> R { return (*static_cast<std::remove_reference_t<F>*>(o.data))(std::forward<A>(a)...); }) {}
  function_ref(R (*f)(A...))  // NOLINT
      : object_{.function = reinterpret_cast<void (*)()>(f)},
        call_([](Object o, A... a) -> R { return reinterpret_cast<R (*)(A...)>(o.function)(std::forward<A>(a)...); }) {}
  R operator()(A... a) const { return call_(object_, std::forward<A>(a)...); }

 private:
  /// Functions are no objects: a pointer to one does not fit into a void*.
  union Object {
    void* data;
    void (*function)();
  };
  Object object_;
  R (*call_)(Object, A...);
};

}  // namespace kinema::inline KINEMA_ABI
