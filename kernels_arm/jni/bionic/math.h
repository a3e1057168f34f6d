/* The part of libm that the core may use. */
#ifndef ES_BIONIC_MATH_H
#define ES_BIONIC_MATH_H
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define HUGE_VAL __builtin_huge_val()
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)
double ceil(double), cos(double), exp(double), fabs(double), floor(double), fma(double, double, double);
double fmax(double, double), fmin(double, double), ldexp(double, int), log(double), nearbyint(double);
double pow(double, double), rint(double), round(double), sin(double), sqrt(double), tanh(double), trunc(double);
float ceilf(float), cosf(float), erff(float), expf(float), fabsf(float), floorf(float), fmaf(float, float, float);
float fmaxf(float, float), fminf(float, float), ldexpf(float, int), logf(float), nearbyintf(float);
float powf(float, float), rintf(float), roundf(float), sinf(float), sqrtf(float), tanhf(float), truncf(float);
double erf(double), copysign(double, double), frexp(double, int *);
float copysignf(float, float), frexpf(float, int *);
long lrint(double), lrintf(float), lround(double), lroundf(float);
#endif
