// A parameter knows its shape before it has a value: checkpoints are checked against it.
// must say: Parameter
#include <kinema/nn/parameter.hpp>
#ifdef CORRECTED
kinema::nn::Parameter weight{kinema::Shape{2, 3}};
#else
kinema::nn::Parameter weight;
#endif
