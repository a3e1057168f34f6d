/* Exponentials and their relatives on vectors, with their largest relative errors. Not math.h, which is libm. */
#ifndef ES_VEC_MATH_H
#define ES_VEC_MATH_H

#include "vec.h"

ES_INLINE es_f32 es_negative(es_f32 a) { return es_sub(es_splat(-0.0f), a); }
ES_INLINE es_f32 es_magnitude(es_f32 a) { return es_max(a, es_negative(a)); }

/* e^x within 2e-7 of it (5e-7 above 88); 0 below -87.7, infinite above 88.72, NaN for NaN.
 * x = n ln 2 + r; e^r is the best polynomial of degree 7 on |r| <= ln 2 / 2. n stops at 127, the largest that has a
 * power of two, so that r grows to ln 2 just below the overflow: degree 6 is 6e-6 off there. */
ES_INLINE es_f32 es_exp(es_f32 x)
{
    x = es_max(es_min(x, es_splat(89.0f)), es_splat(-88.0f));
    /* In this order of operands NaN becomes a number, and -127 gives the power 0. */
    es_f32 n = es_min(es_splat(127.0f), es_round(es_mul(x, es_splat(1.44269504f))));
    /* ln 2 in two parts: n times the first is exact. */
    es_f32 r = es_fma(n, es_splat(-0.693359375f), x);
    r = es_fma(n, es_splat(2.12194440e-4f), r);
    es_f32 p = es_splat(1.979031367e-4f);
    p = es_fma(p, r, es_splat(1.394468942e-3f));
    p = es_fma(p, r, es_splat(8.333497681e-3f));
    p = es_fma(p, r, es_splat(4.166629538e-2f));
    p = es_fma(p, r, es_splat(1.666666567e-1f));
    p = es_fma(p, r, es_splat(0.5f));
    p = es_fma(p, r, es_splat(1.0f));
    p = es_fma(p, r, es_splat(1.0f));
    return es_mul(p, es_power_of_two(n));
}

/* 1 / (1 + e^-x) within 5e-7; 0 below -88.8. */
ES_INLINE es_f32 es_sigmoid(es_f32 x)
{
    es_f32 one = es_splat(1.0f);
    return es_div(one, es_add(one, es_exp(es_negative(x))));
}

/* Within 3e-7: near 0, where 1 - 2 / (e^2x + 1) cancels, x + x^3 P(x^2). */
ES_INLINE es_f32 es_tanh(es_f32 x)
{
    es_f32 one = es_splat(1.0f), square = es_mul(x, x);
    es_f32 far = es_sub(one, es_div(es_splat(2.0f), es_add(es_exp(es_add(x, x)), one)));
    es_f32 p = es_splat(-5.704984535e-3f);
    p = es_fma(p, square, es_splat(2.063908428e-2f));
    p = es_fma(p, square, es_splat(-5.373971537e-2f));
    p = es_fma(p, square, es_splat(1.333144158e-1f));
    p = es_fma(p, square, es_splat(-3.333328068e-1f));
    es_f32 near = es_fma(es_mul(p, square), x, x);
    return es_select_less(square, es_splat(0.390625f), near, far);
}

/* The normal distribution's share below x, (1 + erf(x / sqrt 2)) / 2, within 1e-6 down to -5 and 5e-6 down to
 * -12: one minus it, or it, is e^(-s^2/2) P(1 / (1 + 0.3 s)) with s = |x|, P the best polynomial of degree 8. */
ES_INLINE es_f32 es_normal_share(es_f32 x)
{
    es_f32 one = es_splat(1.0f), s = es_magnitude(x);
    es_f32 u = es_div(one, es_fma(s, es_splat(0.3f), one));
    es_f32 p = es_splat(3.562335241e-2f);
    p = es_fma(p, u, es_splat(-1.569888592e-1f));
    p = es_fma(p, u, es_splat(2.059844285e-1f));
    p = es_fma(p, u, es_splat(-5.334407836e-2f));
    p = es_fma(p, u, es_splat(1.283821166e-1f));
    p = es_fma(p, u, es_splat(9.996782243e-2f));
    p = es_fma(p, u, es_splat(1.207452640e-1f));
    p = es_fma(p, u, es_splat(1.196298674e-1f));
    es_f32 tail = es_mul(es_mul(p, u), es_exp(es_mul(es_mul(s, es_splat(-0.5f)), s)));
    return es_select_less(x, es_splat(0.0f), tail, es_sub(one, tail));
}

#endif
