// kinema/kernel/cuda/all.hpp - every CUDA library call, for one host-compiled unit in builds without CMake. Generated: KINEMA_UPDATE=1 test_layers rewrites it.
#pragma once

#include <kinema/kernel/cuda/matmul.hpp>
#include <kinema/kernel/cuda/runtime.hpp>
