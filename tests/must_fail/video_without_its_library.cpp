// A header whose purpose is a library says which switch it needs.
// must say: KINEMA_WITH_FFMPEG=1
#ifndef CORRECTED
#include <kinema/io/video.hpp>
#endif
