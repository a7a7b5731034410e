// A header whose purpose is a library says which switch it needs.
// must say: KINEMA_WITH_SENTENCEPIECE=1
#ifndef CORRECTED
#include <kinema/text/sentencepiece.hpp>
#endif
