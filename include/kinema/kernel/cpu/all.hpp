// kinema/kernel/cpu/all.hpp - every CPU kernel, for one kernel unit in builds without CMake. Generated: KINEMA_UPDATE=1 test_layers rewrites it.
#pragma once

#include <kinema/kernel/cpu/attention.hpp>
#include <kinema/kernel/cpu/conv.hpp>
#include <kinema/kernel/cpu/elementwise.hpp>
#include <kinema/kernel/cpu/embedding.hpp>
#include <kinema/kernel/cpu/group_norm.hpp>
#include <kinema/kernel/cpu/layout.hpp>
#include <kinema/kernel/cpu/matmul.hpp>
#include <kinema/kernel/cpu/norm.hpp>
#include <kinema/kernel/cpu/reduce.hpp>
#include <kinema/kernel/cpu/resample.hpp>
#include <kinema/kernel/cpu/rope.hpp>
#include <kinema/kernel/cpu/runtime.hpp>
