// tests/consumers/program.cpp - another project's program: ops on numbers that are known. USES_MATMUL: matrix products
// too, which take long to compile inline.
#include <kinema/op/norm.hpp>
#include <kinema/tensor/create.hpp>
#if USES_MATMUL
#include <kinema/op/matmul.hpp>
#endif

#include <cmath>
#include <cstdio>
#include <vector>

using namespace kinema;

int wrong(const char* what, int i, int j, float value) {
  std::printf("consumer: %s(%d, %d) = %g\n", what, i, j, static_cast<double>(value));
  return 1;
}

int main() {
  const Tensor<> x = tensor_of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor<float, 2> z = op::layer_norm(x);
  const float side = static_cast<float>(1 / std::sqrt(2.0 / 3.0 + 1e-5));
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      if (std::fabs(z(i, j) - static_cast<float>(j - 1) * side) > 1e-5f) return wrong("layer_norm", i, j, z(i, j));
#if USES_MATMUL
  const Tensor<> w = tensor_of(std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1}, {4, 3});
  const Tensor<float, 2> y = op::linear(x, w, {}, kernel::Activation::none);  // x and its sums
  const float expected[2][4] = {{1, 2, 3, 6}, {4, 5, 6, 15}};
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j)
      if (y(i, j) != expected[i][j]) return wrong("linear", i, j, y(i, j));
#endif
  try {
    op::layer_norm(x, z);
  } catch (const ShapeError& e) {
    std::printf("consumer: all is well (%s)\n", e.what());
    return 0;
  }
  std::printf("consumer: layer_norm took a weight of another shape\n");
  return 1;
}
