// cat() takes what has a to_string.
// must say: to_string
#include <kinema/core/error.hpp>
#include <string>
namespace mine {
struct Thing {};
#ifdef CORRECTED
inline std::string to_string(const Thing&) { return "thing"; }
#endif
}  // namespace mine
std::string text = kinema::cat(mine::Thing{});
