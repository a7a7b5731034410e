// Blocked activations have frames of two axes, or three axes.
// must say: two or three axes
#include <kinema/nn/conv.hpp>
#ifdef CORRECTED
kinema::nn::Conv<3> conv(1, 1, 3);
#else
kinema::nn::Conv<4> conv(1, 1, 3);
#endif
