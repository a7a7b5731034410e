// tests/consumers/program.cpp - another project's program: a linear layer and a norm on numbers that are known.
#include <kinema/op/matmul.hpp>
#include <kinema/op/norm.hpp>
#include <kinema/tensor/create.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  using namespace kinema;
  const Tensor<> x = tensor_of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor<> w = tensor_of(std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1}, {4, 3});
  const Tensor<float, 2> y = op::linear(x, w, {}, kernel::Activation::none);          // x and its sums
  const Tensor<float, 2> z = op::layer_norm(x);
  const float expected[2][4] = {{1, 2, 3, 6}, {4, 5, 6, 15}};
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j)
      if (y(i, j) != expected[i][j]) return std::printf("linear(%d, %d) = %g\n", i, j, static_cast<double>(y(i, j))), 1;
  const float side = static_cast<float>(1 / std::sqrt(2.0 / 3.0 + 1e-5));
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      if (std::fabs(z(i, j) - static_cast<float>(j - 1) * side) > 1e-5f) return std::printf("layer_norm(%d, %d) = %g\n", i, j, static_cast<double>(z(i, j))), 1;
  try {
    op::linear(x, tensor_of(std::vector<float>{1, 2}, {1, 2}), {}, kernel::Activation::none);
  } catch (const ShapeError& e) {
    std::printf("consumer: all is well (%s)\n", e.what());
    return 0;
  }
  std::printf("linear took a weight of another width\n");
  return 1;
}
