// kinema/kernel/launch.hpp - from an op record and a run-time device to a backend's run().
//
// A backend implements an op by overloading run(Context&, const Op&). These declarations are the dispatch table and
// the support matrix at once; records may live in any namespace, lookup is argument-dependent.
#pragma once

#include <kinema/runtime/context.hpp>
#include <kinema/tensor/view.hpp>

#include <string_view>

namespace kinema::inline KINEMA_ABI {

/// A context runs an op when somebody declared  run(Context&, const Op&).
template <class Context, class Op>
concept Runs = requires(Context& c, const Op& op) { run(c, op); };

/// Whether this build has a kernel for Op on that kind of device.
template <class Op>
constexpr bool runs_on(Device where) {
  if (where.is_cpu()) return Runs<CpuContext, Op>;
#if KINEMA_WITH_CUDA
  return Runs<CudaContext, Op>;
#else
  return false;
#endif
}

/// Floating-point operations of a record that counts them, else 0.
template <class Op>
double flops_of(const Op& op) {
  if constexpr (requires { op.flops(); }) return op.flops();
  else return 0;
}

/// The only place that turns a run-time device into a compile-time backend.
template <class Op>
void launch(const Op& op, Device where) {
  if (where.is_cpu()) {
    if constexpr (Runs<CpuContext, Op>) {
      CpuContext& ctx = cpu_context();
      if (ctx.observer) ctx.observer->begin(Op::name, where, flops_of(op));
      run(ctx, op);
      if (ctx.observer) ctx.observer->end(Op::name, where);
      return;
    }
  } else {
#if KINEMA_WITH_CUDA
    if constexpr (Runs<CudaContext, Op>) return run(cuda_context(where), op);
#endif
  }
  throw Unsupported(cat(Op::name, ": no kernel for ", where, " in this build (KINEMA_WITH_CUDA=", KINEMA_WITH_CUDA, ")"));
}

}  // namespace kinema::inline KINEMA_ABI
