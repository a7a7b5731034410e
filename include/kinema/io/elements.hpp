// kinema/io/elements.hpp - the elements of host tensors as bytes in row-major order, whatever the strides.
#pragma once

#include <kinema/io/file_writer.hpp>
#include <kinema/tensor/tensor.hpp>

namespace kinema::inline KINEMA_ABI::io {

namespace detail {

/// Calls f(bytes, count) for the elements of a host tensor in row-major order, in runs as long as the strides allow.
template <class F>
void for_each_run(const Tensor<>& t, const F& f) {
  if (!t.device().is_cpu())
    throw DeviceError(cat("io: only tensors of the host can be written, got one on ", t.device()));
  const Ref& r = t.ref();
  const std::size_t width = size_of(r.dtype);
  const std::int64_t total = t.numel();
  if (total == 0) return;
  int outer = r.rank();  // axes [outer, rank) are one contiguous run
  std::int64_t run = 1;
  while (outer > 0 && (r.shape[outer - 1] == 1 || r.stride[outer - 1] == run)) run *= r.shape[--outer];
  std::int64_t index[max_rank] = {};
  const auto* base = static_cast<const unsigned char*>(r.data);
  for (;;) {
    std::int64_t offset = 0;
    for (int i = 0; i < outer; ++i) offset += index[i] * r.stride[i];
    f(base + offset * static_cast<std::int64_t>(width), static_cast<std::size_t>(run) * width);
    int axis = outer - 1;
    while (axis >= 0 && ++index[axis] == r.shape[axis]) index[axis--] = 0;
    if (axis < 0) return;
  }
}

/// The elements of a host tensor in row-major order, through a buffer so that short runs do not cost a system call each.
inline void write_elements(FileWriter& file, std::uint64_t offset, const Tensor<>& t) {
  constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
  std::vector<unsigned char> buffer;
  const auto flush = [&] {
    if (!buffer.empty()) file.write_at(offset, buffer.data(), buffer.size());
    offset += buffer.size();
    buffer.clear();
  };
  for_each_run(t, [&](const unsigned char* data, std::size_t bytes) {
    if (buffer.size() + bytes > buffer_bytes) flush();
    if (bytes >= buffer_bytes) {
      file.write_at(offset, data, bytes);
      offset += bytes;
    } else {
      buffer.insert(buffer.end(), data, data + bytes);
    }
  });
  flush();
}

}  // namespace detail

}  // namespace kinema::inline KINEMA_ABI::io
