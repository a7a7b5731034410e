// kinema/kernel/cuda/detail/product.hpp - the records of kernel/matmul.hpp in terms of GEMM plans and pointwise kernels.
//
// Templates over the context and the library, so that the tests run this very code with a library of plain loops.
#pragma once

#include <kinema/kernel/cuda/detail/gemm.hpp>
#include <kinema/kernel/elementwise.hpp>
#include <kinema/kernel/layout.hpp>
#include <kinema/kernel/matmul.hpp>

namespace kinema::inline KINEMA_ABI::kernel::cuda {

inline void require_product_type(DType t, std::string_view op) {
  if (t != DType::f32 && t != DType::bf16 && t != DType::f16) throw DTypeError(cat(op, ": CUDA multiplies f32, bf16 and f16, got ", t));
}

inline std::size_t bytes_as(const Ref& r, DType dtype) { return r ? static_cast<std::size_t>(r.shape.numel()) * size_of(dtype) : 0; }
inline Ref contiguous_ref(void* data, const Shape& shape, DType dtype, Device device) { return {data, shape, shape.contiguous_strides(), dtype, device, nullptr}; }

/// An operand in another element type: itself where it has that type already, else a contiguous copy in scratch.
template <class Context>
class Converted {
 public:
  Converted(Context& ctx, const Ref& r, DType dtype) : scratch_(ctx.scratch(r.dtype == dtype ? 0 : bytes_as(r, dtype))), ref_(r) {
    if (!r || r.dtype == dtype) return;
    ref_ = contiguous_ref(scratch_.template as<void>(), r.shape, dtype, r.device);
    run(ctx, Copy{r, ref_});
  }
  const Ref& ref() const { return ref_; }
  const void* data() const { return ref_.data; }

 private:
  typename Context::Scratch scratch_;
  Ref ref_;
};

/// An operand [B, rows, columns] in a form that cuBLAS has words for: itself if possible, else a contiguous copy.
/// A matrix that the whole stack shares is copied once.
template <class Context>
class Expressible {
 public:
  Expressible(Context& ctx, const Ref& r) : Expressible(ctx, r, stored(window_of(r)).has_value()) {}
  Window window() const { return window_of(ref_); }
  const void* data() const { return ref_.data; }

 private:
  Expressible(Context& ctx, const Ref& r, bool as_is) : scratch_(ctx.scratch(as_is ? 0 : bytes_as(one(r), r.dtype))), ref_(r) {
    if (as_is) return;
    const Ref source = one(r);
    const Ref copy = contiguous_ref(scratch_.template as<void>(), source.shape, r.dtype, r.device);
    run(ctx, Copy{source, copy});
    ref_.data = copy.data;
    ref_.stride = copy.stride;
    if (source.shape[0] == 1) ref_.stride[0] = 0;
  }
  static Ref one(const Ref& r) {
    Ref o = r;
    if (o.stride[0] == 0) o.shape[0] = 1;
    return o;
  }
  static Window window_of(const Ref& r) { return {r.shape[1], r.shape[2], r.stride[1], r.stride[2], r.shape[0] == 1 ? 0 : r.stride[0]}; }

  typename Context::Scratch scratch_;
  Ref ref_;
};

template <class Context, class Library>
void multiply(Context& ctx, Library& library, const Ref& a, const Ref& b, const Ref& y, const void* bias, Epilogue epilogue) {
  const Expressible<Context> left(ctx, a), right(ctx, b);
  const std::int64_t batch = y.shape[0], m = y.shape[1], n = y.shape[2];
  const Window out{m, n, n, 1, batch == 1 ? 0 : m * n};
  const auto plan = plan_product(left.window(), right.window(), out, a.dtype, y.dtype, batch, epilogue);
  if (!plan) throw BackendError("matmul: a contiguous matrix has no cuBLAS form");
  library.run(ctx, *plan, GemmPointers{right.data(), left.data(), y.data, bias});
}

/// [r, c] as [1, r, c], with the strides of `r`.
inline Ref as_stack(const Ref& r) {
  Ref s = r;
  s.shape = {1, r.shape[0], r.shape[1]};
  s.stride = {0, r.stride[0], r.stride[1]};
  return s;
}
inline Ref transposed(Ref stack) {
  const auto swap = [](Shape& s) {
    const std::int64_t last = s[2];
    s[2] = s[1];
    s[1] = last;
  };
  swap(stack.shape);
  swap(stack.stride);
  return stack;
}

/// y = activation(x weight^T + bias). What the library's epilogues do not cover
/// is computed in f32 and rounded at the end.
template <class Context, class Library>
void linear(Context& ctx, Library& library, const Linear& op) {
  require_product_type(op.x.dtype, op.name);
  const std::int64_t n = op.y.size(1), k = op.x.size(1);
  if (op.y.shape.numel() == 0) return;
  // cuBLAS multiplies equal types. Where they differ both become f32, which rounds neither.
  const DType type = op.weight.dtype == op.x.dtype ? op.x.dtype : DType::f32;
  const Converted<Context> left(ctx, op.x, type), weight(ctx, op.weight, type);
  const Ref x = as_stack(left.ref()), w = transposed(as_stack(weight.ref()));  // [1, M, K], [1, K, N]
  // An epilogue takes a bias of the output's type; one that would have to be rounded first goes the long way.
  const bool bias_fits = !op.bias || op.bias.dtype == type || type == DType::f32;
  if (k > 0 && type == op.y.dtype && epilogue_covers(op.activation) && bias_fits) {
    const Converted<Context> bias(ctx, op.bias, type);
    return multiply(ctx, library, x, w, as_stack(op.y), bias.data(), epilogue_for(static_cast<bool>(op.bias), op.activation));
  }
  const bool in_place = op.y.dtype == DType::f32;
  const auto scratch = ctx.scratch(in_place ? 0 : bytes_as(op.y, DType::f32));
  const Ref sum = contiguous_ref(in_place ? op.y.data : scratch.template as<void>(), op.y.shape, DType::f32, op.y.device);
  if (k > 0) multiply(ctx, library, x, w, as_stack(sum), nullptr, Epilogue::none);
  else ctx.set(sum.data, 0, bytes_as(sum, DType::f32));
  if (op.bias) {
    const Converted<Context> bias(ctx, op.bias, DType::f32);
    Ref repeated = bias.ref();
    repeated.shape = {op.y.shape[0], n};
    repeated.stride = {0, 1};
    run(ctx, Binary{sum, repeated, sum, Arithmetic::add});
  }
  if (op.activation != Activation::none) run(ctx, Activate{sum, sum, op.activation});
  if (!in_place) run(ctx, Cast{sum, op.y});
}

template <class Context, class Library>
void matmul(Context& ctx, Library& library, const MatMul& op) {
  require_product_type(op.a.dtype, op.name);
  if (op.y.shape.numel() == 0) return;
  if (op.a.size(2) == 0) return ctx.set(op.y.data, 0, bytes_as(op.y, op.y.dtype));
  multiply(ctx, library, op.a, op.b, op.y, nullptr, Epilogue::none);
}

}  // namespace kinema::inline KINEMA_ABI::kernel::cuda
