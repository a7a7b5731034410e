// kinema/kernel/cpu/detail/simd.hpp - the xsimd adapter: batches of float or double, and what xsimd lacks.
//
// Kernels load any floating element type into a batch of its compute type, work there, and round once on the way out.
// Without xsimd a batch is a short array and the compiler vectorises what it can: same interface, same results up to
// the rounding of exp, tanh and erf.
#pragma once

#include <kinema/core/dtype.hpp>
#include <kinema/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if KINEMA_WITH_XSIMD
#include <xsimd/xsimd.hpp>
#else
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#endif

namespace kinema::inline KINEMA_ABI::simd {

#if KINEMA_WITH_XSIMD

template <class C> using batch = xsimd::batch<C>;
template <class C> inline constexpr int lanes = static_cast<int>(xsimd::batch<C>::size);

template <class C> batch<C> fill(C v) { return batch<C>(v); }
template <class C> batch<C> load_compute(const C* p) { return batch<C>::load_unaligned(p); }
template <class C> void store_compute(C* p, const batch<C>& v) { v.store_unaligned(p); }
template <class C> batch<C> fma(const batch<C>& a, const batch<C>& b, const batch<C>& c) { return xsimd::fma(a, b, c); }
template <class C> batch<C> max(const batch<C>& a, const batch<C>& b) { return xsimd::max(a, b); }
template <class C> batch<C> min(const batch<C>& a, const batch<C>& b) { return xsimd::min(a, b); }

/// Sum and maximum over lanes, always in the same order: halves are folded onto each other.
template <class C> C sum(const batch<C>& v) {
#if defined(__AVX__) && !defined(__AVX512F__)
  if constexpr (std::is_same_v<C, float>) {  // the loop below without its way through memory: same order, same bits
    const __m256 x = v;
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
#endif
  alignas(64) C x[lanes<C>];
  v.store_unaligned(x);
  for (int n = lanes<C> / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) x[i] += x[i + n];
  return x[0];
}
template <class C> C maximum(const batch<C>& v) {
  alignas(64) C x[lanes<C>];
  v.store_unaligned(x);
  C m = x[0];
  for (int i = 1; i < lanes<C>; ++i) m = std::max(m, x[i]);
  return m;
}

/// Whether any lane of a is greater than b's.
template <class C> bool any_above(const batch<C>& a, const batch<C>& b) { return xsimd::any(a > b); }
/// Lanes below `least` raised to it; NaN stays NaN.
template <class C> batch<C> at_least(const batch<C>& v, C least) { return xsimd::max(batch<C>(least), v); }
namespace detail {
/// The low bits of each lane moved up into the exponent field.
template <class C> batch<C> to_exponent(const batch<C>& v) {
  using I = std::conditional_t<sizeof(C) == 4, std::int32_t, std::int64_t>;
  return __builtin_bit_cast(batch<C>, __builtin_bit_cast(xsimd::batch<I>, v) << (sizeof(C) == 4 ? 23 : 52));
}
}  // namespace detail
/// Lanes 2j and 2j + 1 exchanged.
template <class C> batch<C> swap_pairs(const batch<C>& v) {
  constexpr bool f32 = std::is_same_v<C, float>;
#if defined(__AVX512F__)
  if constexpr (f32) return _mm512_permute_ps(v, 0xB1);
  else return _mm512_permute_pd(v, 0x55);
#elif defined(__AVX__)
  if constexpr (f32) return _mm256_permute_ps(v, 0xB1);
  else return _mm256_permute_pd(v, 0x5);
#elif defined(__SSE2__)
  if constexpr (f32) return _mm_shuffle_ps(v, v, 0xB1);
  else return _mm_shuffle_pd(v, v, 1);
#else
  alignas(64) C x[lanes<C>], y[lanes<C>];
  v.store_unaligned(x);
  for (int i = 0; i < lanes<C>; ++i) y[i] = x[i ^ 1];
  return batch<C>::load_unaligned(y);
#endif
}

#else

template <class C>
struct batch {
  static constexpr int size = 32 / sizeof(C);
  C lane[size];
  batch() = default;
  batch(C v) {  // NOLINT: implicit, as xsimd's
    for (int i = 0; i < size; ++i) lane[i] = v;
  }
  template <class F> static batch map(const batch& a, const F& f) { batch r; for (int i = 0; i < size; ++i) r.lane[i] = f(a.lane[i]); return r; }
  template <class F> static batch map(const batch& a, const batch& b, const F& f) { batch r; for (int i = 0; i < size; ++i) r.lane[i] = f(a.lane[i], b.lane[i]); return r; }
  friend batch operator+(const batch& a, const batch& b) { return map(a, b, [](C x, C y) { return x + y; }); }
  friend batch operator-(const batch& a, const batch& b) { return map(a, b, [](C x, C y) { return x - y; }); }
  friend batch operator*(const batch& a, const batch& b) { return map(a, b, [](C x, C y) { return x * y; }); }
  friend batch operator/(const batch& a, const batch& b) { return map(a, b, [](C x, C y) { return x / y; }); }
  friend batch operator-(const batch& a) { return map(a, [](C x) { return -x; }); }
  batch& operator+=(const batch& b) { return *this = *this + b; }
  batch& operator*=(const batch& b) { return *this = *this * b; }
  friend batch exp(const batch& a) { return map(a, [](C x) { return math::exp(x); }); }
  friend batch tanh(const batch& a) { return map(a, [](C x) { return math::tanh(x); }); }
  friend batch erf(const batch& a) { return map(a, [](C x) { return math::erf(x); }); }
  friend batch sqrt(const batch& a) { return map(a, [](C x) { return math::sqrt(x); }); }
  friend batch abs(const batch& a) { return map(a, [](C x) { return math::abs(x); }); }
};
template <class C> inline constexpr int lanes = batch<C>::size;

template <class C> batch<C> fill(C v) { return batch<C>(v); }
template <class C> batch<C> load_compute(const C* p) { batch<C> r; std::memcpy(r.lane, p, sizeof r.lane); return r; }
template <class C> void store_compute(C* p, const batch<C>& v) { std::memcpy(p, v.lane, sizeof v.lane); }
template <class C> batch<C> fma(const batch<C>& a, const batch<C>& b, const batch<C>& c) { return a * b + c; }
template <class C> batch<C> max(const batch<C>& a, const batch<C>& b) { return batch<C>::map(a, b, [](C x, C y) { return std::max(x, y); }); }
template <class C> batch<C> min(const batch<C>& a, const batch<C>& b) { return batch<C>::map(a, b, [](C x, C y) { return std::min(x, y); }); }
template <class C> C sum(const batch<C>& v) {
  batch<C> x = v;
  for (int n = lanes<C> / 2; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) x.lane[i] += x.lane[i + n];
  return x.lane[0];
}
template <class C> C maximum(const batch<C>& v) {
  C m = v.lane[0];
  for (int i = 1; i < lanes<C>; ++i) m = std::max(m, v.lane[i]);
  return m;
}

template <class C> bool any_above(const batch<C>& a, const batch<C>& b) {
  bool any = false;
  for (int i = 0; i < lanes<C>; ++i) any = any || a.lane[i] > b.lane[i];
  return any;
}
template <class C> batch<C> at_least(const batch<C>& v, C least) { return batch<C>::map(v, [=](C x) { return x < least ? least : x; }); }
namespace detail {
template <class C> batch<C> to_exponent(const batch<C>& v) {
  using I = std::conditional_t<sizeof(C) == 4, std::uint32_t, std::uint64_t>;
  return batch<C>::map(v, [](C x) { return __builtin_bit_cast(C, __builtin_bit_cast(I, x) << (sizeof(C) == 4 ? 23 : 52)); });
}
}  // namespace detail
template <class C> batch<C> swap_pairs(const batch<C>& v) {
  batch<C> r;
  for (int i = 0; i < lanes<C>; ++i) r.lane[i] = v.lane[i ^ 1];
  return r;
}

#endif

/// v[i] becomes column i of the square of batches.
template <class C>
void transpose(batch<C> (&v)[lanes<C>]) {
#if KINEMA_WITH_XSIMD && defined(__AVX__) && !defined(__AVX512F__)
  if constexpr (std::is_same_v<C, float>) {
    __m256 pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
      fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
      fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
      fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
      v[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
    return;
  }
#endif
  constexpr int w = lanes<C>;
  alignas(64) C from[w * w], to[w * w];
  for (int i = 0; i < w; ++i) store_compute<C>(from + i * w, v[i]);
  for (int i = 0; i < w; ++i)
    for (int j = 0; j < w; ++j) to[j * w + i] = from[i * w + j];
  for (int i = 0; i < w; ++i) v[i] = load_compute<C>(to + i * w);
}

/// 2^x for x at most 127 (1023): relative error 1.1 ulp, exactly 1 at 0, exactly 0 below -127 (-1023), NaN stays NaN.
/// Adding `magic` leaves the nearest integer, biased as an exponent, in the low bits of the sum.
template <class C>
batch<C> exp2(const batch<C>& x) {
  constexpr bool f32 = std::is_same_v<C, float>;
  constexpr C magic = f32 ? C(12582912 + 127) : C(6755399441055744.0 + 1023);
  const batch<C> bounded = at_least<C>(x, f32 ? C(-127) : C(-1023));
  const batch<C> biased = bounded + fill<C>(magic);
  const batch<C> f = bounded - (biased - fill<C>(magic));  // in [-1/2, 1/2]
  batch<C> p;
  const auto horner = [&](C c) { p = fma<C>(p, f, fill<C>(c)); };
  if constexpr (f32) {  // minimax with p(0) = 1: 1.6e-8
    p = fill<C>(1.535336196e-04f);
    horner(1.339887385e-03f), horner(9.618436918e-03f), horner(5.550332367e-02f), horner(2.402264774e-01f), horner(6.931471825e-01f);
  } else {  // Taylor: the remainder is 4e-18
    p = fill<C>(1.3691488853904124e-12);
    horner(2.5678435993488196e-11), horner(4.44553827187081e-10), horner(7.054911620801121e-09), horner(1.0178086009239696e-07);
    horner(1.3215486790144305e-06), horner(1.5252733804059838e-05), horner(1.5403530393381606e-04), horner(1.3333558146428441e-03);
    horner(9.618129107628477e-03), horner(5.5504108664821576e-02), horner(2.402265069591007e-01), horner(6.931471805599453e-01);
  }
  horner(C(1));
  return p * detail::to_exponent<C>(biased);
}

#if KINEMA_WITH_XSIMD && defined(__AVX512F__)
namespace detail {
inline batch<float> widen(const bf16* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline batch<float> widen(const f16* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline batch<float> widen(const std::int8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))); }
inline void narrow(bf16* p, const batch<float>& v) {
  const __m512i u = _mm512_castps_si512(v);
  const __m512i even = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff))), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
  const __m512i bits = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), rounded, quiet);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(bits));
}
inline void narrow(f16* p, const batch<float>& v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
}  // namespace detail
#define KINEMA_SIMD_HALVES 1
#elif KINEMA_WITH_XSIMD && defined(__AVX2__) && defined(__F16C__)
namespace detail {
inline batch<float> widen(const bf16* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline batch<float> widen(const f16* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline batch<float> widen(const std::int8_t* p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))); }
inline void narrow(bf16* p, const batch<float>& v) {
  const __m256i u = _mm256_castps_si256(v);
  const __m256i even = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
  const __m256i bits = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(bits, bits), 0x8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
inline void narrow(f16* p, const batch<float>& v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
}  // namespace detail
#define KINEMA_SIMD_HALVES 1
#else
#define KINEMA_SIMD_HALVES 0
#endif

/// lanes<compute_t<T>> elements, widened to the compute type.
template <class T>
batch<compute_t<T>> load(const T* p) {
  using C = compute_t<T>;
  if constexpr (std::is_same_v<T, C>) {
    return load_compute<C>(p);
  } else {
#if KINEMA_SIMD_HALVES
    return detail::widen(p);
#else
    alignas(64) float x[lanes<float>];
    for (int i = 0; i < lanes<float>; ++i) x[i] = p[i];
    return load_compute<float>(x);
#endif
  }
}

/// Rounds once, to nearest even; NaN stays NaN.
template <class T>
void store(T* p, const batch<compute_t<T>>& v) {
  using C = compute_t<T>;
  if constexpr (std::is_same_v<T, C>) {
    store_compute<C>(p, v);
  } else {
#if KINEMA_SIMD_HALVES
    detail::narrow(p, v);
#else
    alignas(64) float x[lanes<float>];
    store_compute<float>(x, v);
    for (int i = 0; i < lanes<float>; ++i) p[i] = T(x[i]);
#endif
  }
}
#undef KINEMA_SIMD_HALVES

/// The first n (< lanes) elements; the rest of the batch is `padding`.
template <class T>
batch<compute_t<T>> load_first(const T* p, std::int64_t n, compute_t<T> padding = 0) {
  using C = compute_t<T>;
  alignas(64) C x[lanes<C>];
  for (int i = 0; i < lanes<C>; ++i) x[i] = i < n ? static_cast<C>(p[i]) : padding;
  return load_compute<C>(x);
}
template <class T>
void store_first(T* p, const batch<compute_t<T>>& v, std::int64_t n) {
  using C = compute_t<T>;
  alignas(64) C x[lanes<C>];
  store_compute<C>(x, v);
  for (std::int64_t i = 0; i < n; ++i) p[i] = T(x[i]);
}

/// y[i] = f(i-th batch of each input) over n contiguous elements, tails included; f works on batches of the compute type.
template <class T, class F, class... In>
void transform(std::int64_t n, T* y, const F& f, const In*... in) {
  constexpr int w = lanes<compute_t<T>>;
  std::int64_t i = 0;
  for (; i + w <= n; i += w) store<T>(y + i, f(load<In>(in + i)...));
  if (i < n) store_first<T>(y + i, f(load_first<In>(in + i, n - i)...), n - i);
}

}  // namespace kinema::inline KINEMA_ABI::simd
