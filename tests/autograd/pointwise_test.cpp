// tests/autograd/pointwise_test.cpp - gradients of pointwise ops, products and changes of layout.
#include "autograd/check.hpp"

#include <kinema/op/matmul.hpp>

using namespace kinema;
using namespace kinema::test;

TEST_CASE("gradients of activations", "[gradients]") {
  Draw draw(11);
  for (const auto a : {op::Activation::silu, op::Activation::gelu_tanh, op::Activation::gelu, op::Activation::gelu_sigmoid, op::Activation::relu, op::Activation::mish})
    for (int i = 0; i < 6; ++i) {
      CAPTURE(name_of(a), i);
      const Shape shape{draw.size(), draw.size(9)};
      const double scale = i % 2 ? 1 : 4;
      // the kink of relu is kept away
      const Tensor<> x = tensor_by(shape, DType::f64, [&] { const double v = draw.normal() * scale; return a == op::Activation::relu && std::abs(v) < 0.01 ? 0.5 : v; });
      check_gradients(draw, {x}, [&](const Inputs& in) { return op::activate(in[0], a); }, 1e-8);
      check_gradients(draw, {x}, [&](const Inputs& in) { return op::activate(transpose(in[0], 0, 1), a); }, 1e-8);
    }
}

TEST_CASE("the derivative of an activation is finite and right far from zero", "[gradients]") {
  for (const DType type : {DType::f32, DType::f64})
    for (const auto a : {op::Activation::silu, op::Activation::gelu_tanh, op::Activation::gelu, op::Activation::gelu_sigmoid, op::Activation::relu, op::Activation::mish}) {
      const Tensor<> x = op::cast(tensor_of<double>({-1e4, -300, -90, -40, 40, 90, 300, 1e4}), type);
      autograd::Tape tape;
      tape.watch(x);
      Tensor<> y;
      {
        const autograd::Tape::Scope on(tape);
        y = op::activate(x, a);
      }
      const auto g = tape.backward(y, full({8}, 1, type));
      CAPTURE(name_of(a));
      CHECK(first_wrong(values_of(g[x]), {0, 0, 0, 0, 1, 1, 1, 1}, [](std::size_t) { return 1e-12; }) == -1);
    }
}

TEST_CASE("gradients of sums and products with broadcasting", "[gradients]") {
  Draw draw(12);
  for (int i = 0; i < 30; ++i) {
    Shape a, b;
    for (std::int64_t n = draw.between(1, 4); n > 0; --n) {
      const std::int64_t s = draw.size(13);
      a.push_back(draw.between(0, 3) ? s : 1);
      b.push_back(draw.between(0, 3) ? s : 1);
    }
    if (draw.coin()) b = Shape{b[b.rank() - 1]};
    const Tensor<> x = normal_tensor(draw, a, DType::f64), y = normal_tensor(draw, b, DType::f64);
    CAPTURE(i, to_string(a), to_string(b));
    check_gradients(draw, {x, y}, [](const Inputs& in) { return op::add(in[0], in[1]); }, 1e-8, 4);
    check_gradients(draw, {x, y}, [](const Inputs& in) { return op::sub(in[0], in[1]); }, 1e-8, 4);
    check_gradients(draw, {x, y}, [](const Inputs& in) { return op::mul(in[0], in[1]); }, 1e-8, 4);
    check_gradients(draw, {x}, [](const Inputs& in) { return op::mul(in[0], op::scale(in[0], 3)); }, 1e-8, 4);
  }
}

TEST_CASE("gradients of combinations", "[gradients]") {
  Draw draw(13);
  const Shape shape{5, 7};
  const Inputs in{normal_tensor(draw, shape, DType::f64), normal_tensor(draw, shape, DType::f64), normal_tensor(draw, shape, DType::f64)};
  check_gradients(draw, in, [](const Inputs& x) { return op::combine({2, -3, 0.5, 1}, {x[0], op::mul(x[1], x[0]), x[2], x[0]}); }, 1e-8);
}

TEST_CASE("gradients of the fully connected product", "[gradients]") {
  Draw draw(14);
  for (int i = 0; i < 24; ++i) {
    const std::int64_t m = draw.size(), k = draw.size(33), n = draw.size(33);
    const Tensor<> x = normal_tensor(draw, {2, m, k}, DType::f64), w = normal_tensor(draw, {n, k}, DType::f64), b = normal_tensor(draw, {n}, DType::f64);
    CAPTURE(i, m, k, n);
    if (k == 0) continue;
    const auto a = static_cast<op::Activation>(i % 7);
    if (a == op::Activation::relu) continue;  // has kinks
    check_gradients(draw, {x, w, b}, [&](const Inputs& in) { return op::linear(in[0], in[1], in[2], a); }, 1e-8, 4);
    check_gradients(draw, {x, w}, [&](const Inputs& in) { return op::linear(narrow(in[0], 1, m / 2, m - m / 2), in[1], {}, a); }, 1e-8, 4);
    check_gradients(draw, {b}, [&](const Inputs& in) { return op::linear(x, w, in[0], a); }, 1e-8, 4);
    if (m > 0) check_gradients(draw, {x, w}, [&](const Inputs& in) { return op::linear(select(in[0], 1, m - 1), in[1]); }, 1e-8, 4);
  }
}

TEST_CASE("gradients of stacks of products", "[gradients]") {
  Draw draw(15);
  for (int i = 0; i < 16; ++i) {
    const std::int64_t m = draw.size(20), k = 1 + draw.size(20), n = draw.size(20);
    const Tensor<> a = normal_tensor(draw, {3, m, k}, DType::f64), b = normal_tensor(draw, {k, n}, DType::f64), c = normal_tensor(draw, {2, 1, k, n}, DType::f64);
    CAPTURE(i, m, k, n);
    check_gradients(draw, {a, b}, [](const Inputs& in) { return op::matmul(in[0], in[1]); }, 1e-8, 4);
    check_gradients(draw, {a, c}, [](const Inputs& in) { return op::matmul(in[0], in[1]); }, 1e-8, 4);
    check_gradients(draw, {a, b}, [](const Inputs& in) { return op::matmul(transpose(in[1], 0, 1), permute(in[0], {0, 2, 1})); }, 1e-8, 4);
  }
}

TEST_CASE("gradients of changes of layout", "[gradients]") {
  Draw draw(16);
  const Tensor<> video = normal_tensor(draw, {2, 4, 3, 4, 6}, DType::f64), tokens = normal_tensor(draw, {2, 12, 24}, DType::f64);
  check_gradients(draw, {video}, [](const Inputs& in) { return op::patchify(in[0], 2, 2, 3); }, 1e-8);
  check_gradients(draw, {video}, [](const Inputs& in) { return op::patchify(narrow(in[0], 4, 1, 4), 1, 2, 2); }, 1e-8);
  check_gradients(draw, {tokens}, [](const Inputs& in) { return op::unpatchify(in[0], 3, 4, 4, 6, 2, 2); }, 1e-8);
  check_gradients(draw, {tokens, video}, [](const Inputs& in) {
    return op::concat({narrow(in[0], 1, 2, 3), reshape(narrow(in[1], 1, 1, 3), {2, 9, 24}), in[0]}, 1);
  }, 1e-8);
  check_gradients(draw, {tokens}, [](const Inputs& in) { return op::contiguous(permute(in[0], {2, 0, 1})); }, 1e-8);
}

TEST_CASE("gradients of products have the same bits for any number of threads", "[gradients][threads]") {
  Draw draw(17);
  const Tensor<> x = normal_tensor(draw, {700, 130}, DType::f32), w = normal_tensor(draw, {530, 130}, DType::f32), b = normal_tensor(draw, {530}, DType::f32);
  CHECK(same_gradients_for_any_threads({x, w, b}, [](const Inputs& in) { return op::linear(in[0], in[1], in[2], op::Activation::gelu_tanh); }));
}
