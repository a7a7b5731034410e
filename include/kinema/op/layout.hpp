// kinema/op/layout.hpp - the same elements in another place or order: contiguous, copy_into, concat, patchify.
#pragma once

#include <kinema/autograd/tape.hpp>
#include <kinema/kernel/layout.hpp>
#include <kinema/tensor/create.hpp>
#include <kinema/tensor/expect.hpp>
#include <kinema/tensor/slice.hpp>
#if !KINEMA_KERNELS_APART
#include <kinema/kernel/cpu/layout.hpp>
#endif

#include <cstdint>
#include <initializer_list>
#include <span>

namespace kinema::inline KINEMA_ABI::op {

namespace detail {
inline void record_copy(const Tensor<>& x, const Tensor<>& y) {
  if (autograd::Tape* tape = autograd::Tape::following({&x, &y}))
    tape->record("copy", {x}, {y}, [](autograd::Backward& back) { back.add(0, back.of(0)); });
}
}  // namespace detail

/// Writes the elements of `source` into the window `destination`: same shape, any strides, element types equal or both
/// floating (rounded once, to nearest even). The one op that fills a part of a tensor; the two must not overlap.
/// Throws ShapeError, DTypeError or DeviceError if they do not fit.
inline void copy_into(const Tensor<>& destination, const Tensor<>& source) {
  const Expect expect{"copy_into"};
  expect("source", source);
  expect("destination", destination).shape(source.shape()).on(source.device()).writable();
  if (!(is_floating(source.dtype()) && is_floating(destination.dtype()))) expect("source", source).dtype(destination.dtype());
  if (source.numel() == 0) return;
  launch(kernel::Copy{.x = source, .y = destination}, source.device());
  if (is_floating(source.dtype())) detail::record_copy(source, destination);
}

/// x itself if its elements lie in row-major order without gaps, else a copy that does.
inline Tensor<> contiguous(const Tensor<>& x) {
  if (x.is_contiguous()) return x;
  Tensor<> y = empty(x.shape(), x.dtype(), x.device());
  launch(kernel::Copy{.x = x, .y = y}, x.device());
  if (is_floating(x.dtype())) detail::record_copy(x, y);
  return y;
}

/// The tensors one after the other along `axis` (negative counts from the back): equal in every other size, in element
/// type and device. Always a new tensor. Throws ShapeError, DTypeError or DeviceError if they do not fit.
inline Tensor<> concat(std::span<const Tensor<>> parts, int axis) {
  const Expect expect{"concat"};
  expect.that(!parts.empty(), "needs one tensor or more");
  expect("parts[0]", parts[0]).rank_at_least(1);
  const int a = parts[0].shape().axis_index(axis);
  Shape shape = parts[0].shape();
  shape[a] = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = cat("parts[", i, "]");
    expect(name, parts[i]).rank(shape.rank()).like(parts[0]);
    expect(name, parts[i]).shape(parts[0].shape().with(a, parts[i].size(a)));
    shape[a] += parts[i].size(a);
  }
  Tensor<> y = empty(shape, parts[0].dtype(), parts[0].device());
  std::int64_t at = 0;
  for (const Tensor<>& part : parts) {
    copy_into(narrow(y, a, at, part.size(a)), part);
    at += part.size(a);
  }
  return y;
}
inline Tensor<> concat(std::initializer_list<Tensor<>> parts, int axis) {  ///< the same
  return concat(std::span<const Tensor<>>(parts.begin(), parts.size()), axis);
}

namespace detail {
/// A video [B, F, C, H, W] seen as [B, F/pt, H/ph, W/pw, C, pt, ph, pw]: splitting an axis never needs a copy.
inline Tensor<> patch_window(const Tensor<>& video, std::int64_t pt, std::int64_t ph, std::int64_t pw) {
  const Shape& n = video.shape();
  const Shape& s = video.strides();
  Ref r = video.ref();
  r.shape = {n[0], n[1] / pt, n[3] / ph, n[4] / pw, n[2], pt, ph, pw};
  r.stride = {s[0], s[1] * pt, s[3] * ph, s[4] * pw, s[2], s[1], s[3], s[4]};
  return video.window(r);
}
inline void expect_patch(const Expect& expect, std::int64_t pt, std::int64_t ph, std::int64_t pw) {
  expect.that(pt > 0 && ph > 0 && pw > 0, "patches must have one frame, row and column or more, got ", pt, "x", ph, "x", pw);
}
inline void expect_whole_patches(std::string_view where, std::int64_t f, std::int64_t h, std::int64_t w, std::int64_t pt, std::int64_t ph,
                                 std::int64_t pw) {
  if (f % pt != 0 || h % ph != 0 || w % pw != 0)
    throw ShapeError(cat(where, ": ", f, " frames of ", h, "x", w, " latents must divide into patches of ", pt, "x", ph, "x", pw));
}
}  // namespace detail

/// Cuts a video of latents into patches of pt frames x ph x pw pixels, one row each.
///   x [B, F, C, H, W] any strides → [B, F/pt * H/ph * W/pw, C * pt * ph * pw], contiguous
/// Patches are ordered by frame, row, column; features by channel, frame, row, column. A pure move of elements.
/// Throws ShapeError if a size is no multiple of the patch's. Source: diffusers CogVideoXPatchEmbed.
inline Tensor<> patchify(const Tensor<>& x, std::int64_t pt, std::int64_t ph, std::int64_t pw) {
  const Expect expect{"patchify"};
  expect("x", x).rank(5);
  detail::expect_patch(expect, pt, ph, pw);
  detail::expect_whole_patches("patchify", x.size(1), x.size(3), x.size(4), pt, ph, pw);
  const Tensor<> window = detail::patch_window(x, pt, ph, pw);
  Tensor<> y = empty(window.shape(), x.dtype(), x.device());
  copy_into(y, window);
  const Shape& n = window.shape();
  return reshape(y, {n[0], n[1] * n[2] * n[3], n[4] * pt * ph * pw});
}

/// The inverse of patchify for square patches p x p over pt frames.
///   tokens [B, F/pt * H/p * W/p, C * pt * p * p] → [B, F, C, H, W], contiguous
/// Throws ShapeError if the sizes do not fit. Source: diffusers CogVideoXTransformer3DModel.forward, "unpatchify".
inline Tensor<> unpatchify(const Tensor<>& tokens, std::int64_t c, std::int64_t f, std::int64_t h, std::int64_t w, std::int64_t pt,
                           std::int64_t p) {
  const Expect expect{"unpatchify"};
  detail::expect_patch(expect, pt, p, p);
  detail::expect_whole_patches("unpatchify", f, h, w, pt, p, p);
  expect("tokens", tokens).rank(3);
  expect("tokens", tokens).shape({tokens.size(0), f / pt * (h / p) * (w / p), c * pt * p * p});
  Tensor<> video = empty({tokens.size(0), f, c, h, w}, tokens.dtype(), tokens.device());
  const Tensor<> window = detail::patch_window(video, pt, p, p);
  copy_into(window, reshape(contiguous(tokens), window.shape()));
  return video;
}

}  // namespace kinema::inline KINEMA_ABI::op
