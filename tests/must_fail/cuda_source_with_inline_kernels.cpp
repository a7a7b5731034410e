// A .cu file includes kinema without the kernels being apart: nvcc would compile CPU kernels that it cannot compile.
// must say: KINEMA_KERNELS_APART=1
#define __CUDACC__ 1
#define __host__
#define __device__
#ifdef CORRECTED
#define KINEMA_KERNELS_APART 1
#endif
#include <kinema/core/config.hpp>
