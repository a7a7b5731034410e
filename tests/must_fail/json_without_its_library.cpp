// A header whose purpose is a library says which switch it needs.
// must say: KINEMA_WITH_JSON=1
#ifndef CORRECTED
#include <kinema/io/json.hpp>
#endif
