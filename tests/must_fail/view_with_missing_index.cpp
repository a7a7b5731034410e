// As many indices as axes.
// must say: sizeof...
#include <kinema/tensor/view.hpp>
#ifdef CORRECTED
float first(const kinema::View<float, 2>& x) { return x(0, 0); }
#else
float first(const kinema::View<float, 2>& x) { return x(0); }
#endif
