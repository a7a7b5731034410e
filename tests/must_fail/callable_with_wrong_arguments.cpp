// A borrowed callable must be callable as it says.
// must say: is_invocable_r_v|no matching function|could not convert
#include <kinema/core/function_ref.hpp>
void each(kinema::function_ref<void(int)> f);
#ifdef CORRECTED
void go() { each([](int) {}); }
#else
void go() { each([](int, int) {}); }
#endif
