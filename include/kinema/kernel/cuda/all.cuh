// kinema/kernel/cuda/all.cuh - every CUDA kernel, for one kernel unit in builds without CMake. Generated: KINEMA_UPDATE=1 test_layers rewrites it.
#pragma once

#include <kinema/kernel/cuda/build.cuh>
#include <kinema/kernel/cuda/elementwise.cuh>
#include <kinema/kernel/cuda/layout.cuh>
#include <kinema/kernel/cuda/norm.cuh>
