// tests/autograd/tape_test.cpp - what the tape promises: views, sharing, sums, refusals, and the memory it keeps.
#include "autograd/check.hpp"

#include <kinema/op/matmul.hpp>

using namespace kinema;
using namespace kinema::test;

namespace {

Tensor<> numbers(std::initializer_list<double> values) { return tensor_of<double>(values); }

/// Gradients of sum(f()) with respect to the watched.
template <class F>
autograd::Gradients gradients(std::initializer_list<Tensor<>> watched, const F& f) {
  autograd::Tape tape;
  for (const Tensor<>& x : watched) tape.watch(x);
  Tensor<> y;
  {
    const autograd::Tape::Scope on(tape);
    y = f();
  }
  return tape.backward(y, full(y.shape(), 1, autograd::gradient_type(y.dtype())));
}

}  // namespace

TEST_CASE("nothing is recorded without a tape, or of tensors that it does not follow", "[tape]") {
  const Tensor<> x = numbers({1, 2}), w = numbers({3, 4});
  autograd::Tape tape;
  tape.watch(w);
  op::mul(x, w);
  {
    const autograd::Tape::Scope on(tape);
    op::mul(x, x);
    {
      const autograd::Tape::Scope off(nullptr);
      op::mul(x, w);
    }
    CHECK(tape.size() == 0);
    op::mul(x, w);
    CHECK(tape.size() == 1);
  }
  CHECK(autograd::Tape::current() == nullptr);
}

TEST_CASE("a value used twice gets the sum, a result that nobody uses nothing", "[tape]") {
  const Tensor<> x = numbers({1, 2, 3});
  const auto g = gradients({x}, [&] {
    const Tensor<> square = op::mul(x, x), unused = op::scale(x, 100);
    return op::add(op::add(square, x), op::scale(square, 10));
  });
  CHECK(values_of(g[x]) == std::vector<double>{23, 45, 67});
}

TEST_CASE("views are views of gradients", "[tape][views]") {
  Draw draw(1);
  const Tensor<> x = normal_tensor(draw, {4, 6}, DType::f64);
  const auto g = gradients({x}, [&] {
    const Tensor<> t = permute(reshape(x, {2, 2, 6}), {2, 0, 1});       // [6, 2, 2]
    return op::scale(narrow(t, 0, 1, 2), 3);
  });
  std::vector<double> want(24, 0.0);
  for (std::size_t i = 0; i < 24; ++i)
    if (i % 6 == 1 || i % 6 == 2) want[i] = 3;
  CHECK(values_of(g[x]) == want);
  CHECK(values_of(g[narrow(x, 1, 1, 2)]) == std::vector<double>(8, 3.0));
  CHECK(g[select(x, 0, 3)].shape() == Shape{6});
}

TEST_CASE("repeated elements get the sum over their repetitions", "[tape][views]") {
  const Tensor<> x = numbers({1, 2}), y = zeros({3, 2, 2}, DType::f64);
  const auto g = gradients({x}, [&] { return op::add(y, op::mul(expand(x, {2, 2}), full({3, 2, 2}, 5, DType::f64))); });
  CHECK(values_of(g[x]) == std::vector<double>{30, 30});
}

TEST_CASE("accumulation along stride 0 equals a plain sum for any strides and threads", "[tape][kernels]") {
  Draw draw(2);
  for (int i = 0; i < 60; ++i) {
    Shape shape;
    const std::int64_t rank = draw.between(0, 4);
    for (std::int64_t a = 0; a < rank; ++a) shape.push_back(a == 0 && i % 5 == 0 ? draw.between(200, 700) : draw.size(17));
    const DType type = draw.coin() ? DType::f64 : DType::f32;
    const Tensor<> x = scattered(draw, integer_tensor(draw, shape, draw.type(), 9));
    Shape small = shape;
    for (int a = 0; a < shape.rank(); ++a)
      if (draw.coin()) small[a] = 1;
    const Tensor<> start = integer_tensor(draw, small, type, 9);
    std::vector<double> want = values_of(start);
    const std::vector<double> from = values_of(x);
    for (std::int64_t e = 0; e < x.numel(); ++e) {
      std::int64_t rest = e, at = 0;
      for (int a = shape.rank() - 1; a >= 0; --a) {
        if (small[a] != 1) at += rest % shape[a] * small.contiguous_strides()[a];
        rest /= shape[a];
      }
      want[static_cast<std::size_t>(at)] += from[static_cast<std::size_t>(e)];
    }
    CAPTURE(i, to_string(shape), to_string(small));
    CHECK(same_for_any_threads([&] {
      const Tensor<> y = empty_like(start);
      op::copy_into(y, start);
      if (x.numel() > 0) launch(kernel::Accumulate{.x = x, .y = expand(y, shape)}, y.device());
      CHECK(first_different(values_of(y), want) == -1);
      return y;
    }));
  }
}

TEST_CASE("a gradient that two inputs share is not changed for one by the other", "[tape]") {
  const Tensor<> a = numbers({1, 2}), b = numbers({3, 4});
  const auto g = gradients({a, b}, [&] {
    const Tensor<> sum = op::add(a, b);          // both get the same gradient
    return op::add(sum, op::scale(a, 7));        // and a more
  });
  CHECK(values_of(g[a]) == std::vector<double>{8, 8});
  CHECK(values_of(g[b]) == std::vector<double>{1, 1});
}

TEST_CASE("parts that are written into one tensor keep their gradients apart", "[tape]") {
  const Tensor<> a = numbers({1, 2}), b = numbers({3, 4, 5});
  const auto g = gradients({a, b}, [&] { return op::mul(op::concat({a, b, a}, 0), numbers({1, 2, 3, 4, 5, 6, 7})); });
  CHECK(values_of(g[a]) == std::vector<double>{7, 9});
  CHECK(values_of(g[b]) == std::vector<double>{3, 4, 5});
}

TEST_CASE("what is overwritten gets no gradient from what was written over it", "[tape]") {
  const Tensor<> a = numbers({1, 2}), b = numbers({3, 4});
  const auto g = gradients({a, b}, [&] {
    const Tensor<> buffer = empty({2}, DType::f64);
    op::copy_into(buffer, a);
    const Tensor<> early = op::scale(buffer, 2);  // needs no value
    op::copy_into(narrow(buffer, 0, 0, 1), narrow(b, 0, 0, 1));
    return op::add(early, op::scale(buffer, 10));
  });
  CHECK(values_of(g[a]) == std::vector<double>{2, 12});
  CHECK(values_of(g[b]) == std::vector<double>{10, 0});
}

TEST_CASE("writing in place to a value that backward needs is refused, and allowed afterwards", "[tape]") {
  const Tensor<> x = numbers({1, 2}), w = numbers({3, 4});
  autograd::Tape tape;
  tape.watch(x);
  Tensor<> y;
  {
    const autograd::Tape::Scope on(tape);
    y = op::mul(x, w);
    CHECK(message_of<ArgumentError>([&] { op::copy_into(w, x); }) ==
          "copy_into: destination must not be written, a recorded op needs its value for gradients, got f64[2]");
    op::copy_into(x, w);  // only the gradient of x is asked for: its value is not needed
  }
  CHECK_THROWS_AS(op::copy_into(narrow(w, 0, 0, 1), numbers({0})), ArgumentError);
  tape.backward(y, w);
  op::copy_into(w, x);
}

TEST_CASE("an abandoned tape lets go of what it kept", "[tape]") {
  const Tensor<> x = numbers({1, 2});
  {
    autograd::Tape tape;
    tape.watch(x);
    const autograd::Tape::Scope on(tape);
    op::mul(x, x);
    CHECK_THROWS_AS(op::copy_into(x, numbers({0, 0})), ArgumentError);
  }
  op::copy_into(x, numbers({0, 0}));
}

TEST_CASE("wrong uses of a tape are refused by name", "[tape]") {
  const Tensor<> x = numbers({1, 2}), w = numbers({3, 4});
  autograd::Tape tape;
  tape.watch(x);
  Tensor<> y;
  {
    const autograd::Tape::Scope on(tape);
    y = op::scale(x, 2);
    CHECK(message_of<Unsupported>([&] { op::clamp(x, 0, 1); }) == "clamp: has no gradient, but a tape follows its input");
    op::clamp(w, 0, 1);
  }
  CHECK(message_of<ShapeError>([&] { tape.backward(y); }) == "backward: y must be a single element unless its gradient is given, got f64[2]");
  CHECK(message_of<ArgumentError>([&] { tape.backward(w, w); }) == "backward: the result depends on nothing that is watched, got f64[2]");
  CHECK(message_of<ShapeError>([&] { tape.backward(y, numbers({1})); }) == "backward: dy must have shape [2], got f64[1]");
  CHECK(message_of<DTypeError>([&] { tape.watch(tensor_of<std::int64_t>({1})); }) == "watch: tensor must be floating, got i64[1]");
  const autograd::Gradients g = tape.backward(y, w);
  CHECK(message_of<ArgumentError>([&] { g[w]; }) == "gradients: a tensor was asked for that was not watched, f64[2]");
  CHECK(tape.size() == 0);
  CHECK_THROWS_AS(tape.backward(y, w), ArgumentError);
}

TEST_CASE("what is watched and not reached has no gradient", "[tape]") {
  const Tensor<> x = numbers({1, 2}), w = numbers({3, 4});
  const auto g = gradients({x, w}, [&] { return op::scale(x, 2); });
  CHECK(g[x]);
  CHECK(!g[w]);
}

TEST_CASE("gradients of narrow types are f32", "[tape]") {
  Draw draw(3);
  for (const DType type : {DType::bf16, DType::f16, DType::f32}) {
    const Tensor<> x = normal_tensor(draw, {5, 8}, type), w = normal_tensor(draw, {3, 8}, type), b = normal_tensor(draw, {3}, type);
    const auto g = gradients({x, w, b}, [&] { return op::linear(x, w, b, op::Activation::silu); });
    for (const Tensor<>& t : {x, w, b}) CHECK(g[t].dtype() == DType::f32);
    const Tensor<> x64 = op::cast(x, DType::f64), w64 = op::cast(w, DType::f64), b64 = op::cast(b, DType::f64);
    const auto want = gradients({x64, w64, b64}, [&] { return op::linear(x64, w64, b64, op::Activation::silu); });
    const double near = type == DType::f32 ? 1e-6 : type == DType::f16 ? 4e-3 : 3e-2;  // the sums before the activation are rounded
    CHECK(first_wrong(values_of(g[x]), values_of(want[x64]), [&](std::size_t) { return 3 * near; }) == -1);
    CHECK(first_wrong(values_of(g[w]), values_of(want[w64]), [&](std::size_t) { return 9 * near; }) == -1);
    CHECK(first_wrong(values_of(g[b]), values_of(want[b64]), [&](std::size_t) { return 3 * near; }) == -1);
  }
}

TEST_CASE("activations are freed while gradients flow", "[tape][memory]") {
  CpuContext context(1);
  const CpuScope scope(context);
  constexpr std::int64_t n = 1 << 16;
  const Tensor<> x = full({n}, 0.5, DType::f32);
  autograd::Tape tape;
  tape.watch(x);
  Tensor<> y = x;
  const auto live = [&] { return context.pool->statistics().live; };
  {
    const autograd::Tape::Scope on(tape);
    for (int i = 0; i < 20; ++i) y = op::scale(op::silu(y), 0.9);
  }
  const std::size_t vector = n * sizeof(float), kept = live();
  CHECK(kept >= 20 * vector);                       // inputs of 20 activations
  CHECK(kept <= 22 * vector + (2u << 20));          // and nothing of the scalings
  context.pool->reset_peak();
  const autograd::Gradients g = tape.backward(y, full({n}, 1, DType::f32));
  CHECK(context.pool->statistics().peak <= kept + 4 * vector);
  y = {};
  CHECK(live() <= 4 * vector + (2u << 20));
}
