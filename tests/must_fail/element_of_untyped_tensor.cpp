// A tensor whose element type is known at run time only has no element access; a typed handle has.
// must say: no match for call|does not provide a call operator
#include <kinema/tensor/tensor.hpp>
#ifdef CORRECTED
float first(const kinema::Tensor<float, 1>& x) { return x(0); }
#else
float first(const kinema::Tensor<>& x) { return x(0); }
#endif
