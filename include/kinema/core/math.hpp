// kinema/core/math.hpp - scalar functions that are valid on host and device, for formulas written once.
#pragma once

#include <kinema/core/config.hpp>

#include <cmath>

namespace kinema::inline KINEMA_ABI::math {

KINEMA_HD inline float exp(float x) { return ::expf(x); }
KINEMA_HD inline double exp(double x) { return ::exp(x); }
KINEMA_HD inline float tanh(float x) { return ::tanhf(x); }
KINEMA_HD inline double tanh(double x) { return ::tanh(x); }
KINEMA_HD inline float erf(float x) { return ::erff(x); }
KINEMA_HD inline double erf(double x) { return ::erf(x); }
KINEMA_HD inline float sqrt(float x) { return ::sqrtf(x); }
KINEMA_HD inline double sqrt(double x) { return ::sqrt(x); }
KINEMA_HD inline float abs(float x) { return ::fabsf(x); }
KINEMA_HD inline double abs(double x) { return ::fabs(x); }
template <class T> KINEMA_HD T max(T a, T b) { return a < b ? b : a; }
template <class T> KINEMA_HD T min(T a, T b) { return b < a ? b : a; }

}  // namespace kinema::inline KINEMA_ABI::math
