// An op record has a name: profilers and messages show it.
// must say: name
#include <kinema/kernel/launch.hpp>
struct Scale {
#ifdef CORRECTED
  static constexpr std::string_view name = "scale";
#endif
  kinema::Ref x;
};
void run(kinema::CpuContext&, const Scale&);
void go(const Scale& op) { kinema::launch(op, kinema::Device::cpu()); }
