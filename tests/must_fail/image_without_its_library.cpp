// A header whose purpose is a library says which switch it needs.
// must say: KINEMA_WITH_STB=1
#ifndef CORRECTED
#include <kinema/io/image.hpp>
#endif
