// Kernels read their inputs through views of const.
// must say: read-only|not assignable|const-qualified
#include <kinema/tensor/view.hpp>
#ifdef CORRECTED
using Element = float;
#else
using Element = const float;
#endif
void zero(const kinema::View<Element, 1>& x) { x(0) = 0.0f; }
