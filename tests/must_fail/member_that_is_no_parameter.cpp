// visit() lists parameters and modules, nothing else.
// must say: Visitor
#include <kinema/nn/module.hpp>
struct Scale {
#ifdef CORRECTED
  kinema::nn::Parameter by{kinema::Shape{1}};
#else
  float by = 1;
#endif
  void visit(kinema::nn::Visitor& v) { v("by", by); }
};
