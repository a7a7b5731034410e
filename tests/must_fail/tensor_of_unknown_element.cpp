// Elements are the types that DType lists.
// must say: is_element
#include <kinema/tensor/create.hpp>
struct Pixel {};
#ifdef CORRECTED
auto t = kinema::tensor_of({1.0f, 2.0f});
#else
auto t = kinema::tensor_of({Pixel{}, Pixel{}});
#endif
