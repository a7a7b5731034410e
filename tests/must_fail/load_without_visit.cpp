// What is loaded is a module: it lists its parameters in visit().
// must say: Module
#include <kinema/nn/load.hpp>
struct Scale {
  kinema::nn::Parameter by{kinema::Shape{1}};
#ifdef CORRECTED
  void visit(kinema::nn::Visitor& v) { v("by", by); }
#endif
};
void fill(Scale& scale, const kinema::TensorSource& file) { kinema::nn::load(scale, file); }
