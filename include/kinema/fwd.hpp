// kinema/fwd.hpp - names without definitions, for headers of programs that only pass things on.
#pragma once

#include <kinema/core/config.hpp>

#include <cstdint>

namespace kinema::inline KINEMA_ABI {

enum class DType : std::uint8_t;
enum class DeviceKind : std::uint8_t;
struct Device;
struct bf16;
struct f16;
class Shape;

struct Storage;
struct Ref;
template <class T, int R> struct View;

struct dyn {};                         ///< "element type known at run time"
inline constexpr int dyn_rank = -1;    ///< "rank known at run time"
template <class T = dyn, int R = dyn_rank> class Tensor;
class TensorSource;

struct CpuContext;
class CudaContext;

namespace nn {
class Parameter;
}

}  // namespace kinema::inline KINEMA_ABI
