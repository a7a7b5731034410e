// Device code is for nvcc; a host compiler is told so instead of drowning in its syntax.
// must say: compiled by nvcc
#ifndef CORRECTED
#include <kinema/kernel/cuda/norm.cuh>
#endif
