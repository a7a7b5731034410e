// CUDA is switched on while the kernels are inline: nobody would compile the device code.
// must say: KINEMA_KERNELS_APART=1
#define KINEMA_WITH_CUDA 1
#ifdef CORRECTED
#define KINEMA_KERNELS_APART 1
#else
#define KINEMA_KERNELS_APART 0
#endif
#include <kinema/core/config.hpp>
