// A header whose purpose is a library says which switch it needs.
// must say: KINEMA_WITH_CUDA=1
#ifndef CORRECTED
#include <kinema/kernel/cuda/runtime.hpp>
#endif
