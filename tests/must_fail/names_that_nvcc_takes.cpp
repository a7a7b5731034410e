// ::cuda belongs to libcu++ and ::any to nvcc: a using-directive must not bring in either.
// must say: cuda|expected namespace name
#include <kinema/kinema.hpp>
using namespace kinema;
struct any {};
#ifndef CORRECTED
namespace alias = kinema::cuda;
#endif
any nothing;
