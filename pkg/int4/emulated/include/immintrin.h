// The AVX-512 (F, BW, VL, VNNI) functions that the kernels use, written out for any CPU, in the place of the compiler's
// header of this name. What they do is taken from Intel's Intrinsics Guide.
#ifndef QAKD_EMULATED_IMMINTRIN_H
#define QAKD_EMULATED_IMMINTRIN_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#undef __x86_64__
#define __x86_64__ 1
#define target(features) // no function may use more than the CPU at hand has
#define HOLD(v)          // nor has it these registers

#define VECTOR(type, name, bytes) typedef type name __attribute__((vector_size(bytes), may_alias))
VECTOR(long long, __m128i, 16);
VECTOR(long long, __m256i, 32);
VECTOR(long long, __m512i, 64);
VECTOR(float, __m256, 32);
VECTOR(float, __m512, 64);
VECTOR(int8_t, e8s, 64);
VECTOR(uint8_t, e8, 64);
VECTOR(uint16_t, e16, 64);
VECTOR(int32_t, e32s, 64);
VECTOR(uint32_t, e32, 64);
VECTOR(uint8_t, e8x16, 16);
VECTOR(uint16_t, e16x16, 32);
#undef VECTOR

typedef uint16_t __mmask16;

#define E static inline __attribute__((always_inline, unused))
#define E_LONG static __attribute__((noinline, unused)) // for the sake of the time that compiling takes
#define LOAD(name, type)               \
  E type name(const void *p) {         \
    type v;                            \
    memcpy(&v, p, sizeof v);           \
    return v;                          \
  }
// An address that is no multiple of the vector's size faults, as it does on the CPU.
#define LOAD_ALIGNED(name, type)                          \
  E type name(const void *p) {                            \
    type v;                                               \
    if ((uintptr_t)p % sizeof v) __builtin_trap();        \
    memcpy(&v, p, sizeof v);                              \
    return v;                                             \
  }
#define STORE(name, type) \
  E void name(void *p, type v) { memcpy(p, &v, sizeof v); }
#define STORE_ALIGNED(name, type)                         \
  E void name(void *p, type v) {                          \
    if ((uintptr_t)p % sizeof v) __builtin_trap();        \
    memcpy(p, &v, sizeof v);                              \
  }
LOAD(_mm_loadu_si128, __m128i)
LOAD(_mm256_loadu_si256, __m256i)
LOAD(_mm512_loadu_si512, __m512i)
LOAD(_mm512_loadu_ps, __m512)
LOAD_ALIGNED(_mm512_load_si512, __m512i)
LOAD_ALIGNED(_mm512_load_ps, __m512)
E __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void *p) {
  __m512 v = {0};
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) v[i] = ((const float *)p)[i];
  return v;
}
E void _mm512_mask_storeu_ps(void *p, __mmask16 mask, __m512 v) {
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) ((float *)p)[i] = v[i];
}
STORE(_mm512_storeu_si512, __m512i)
STORE(_mm512_storeu_ps, __m512)
STORE_ALIGNED(_mm512_store_si512, __m512i)
STORE_ALIGNED(_mm512_store_ps, __m512)

E __m512i _mm512_setzero_si512(void) { return (__m512i){0}; }
E __m512 _mm512_setzero_ps(void) { return (__m512){0}; }
E __m512i _mm512_set1_epi8(char v) { return (__m512i)((e8){0} + (uint8_t)v); }
E __m512i _mm512_set1_epi16(short v) { return (__m512i)((e16){0} + (uint16_t)v); }
E __m512i _mm512_set1_epi32(int v) { return (__m512i)((e32){0} + (uint32_t)v); }
E __m512 _mm512_set1_ps(float v) {
  __m512 r;
  for (int i = 0; i < 16; i++) r[i] = v;
  return r;
}
#define _mm512_set_ps(p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a) ((__m512){a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p})
E __m128i _mm_set1_epi8(char v) { return (__m128i)((e8x16){0} + (uint8_t)v); }

E __m512i _mm512_and_si512(__m512i a, __m512i b) { return a & b; }
E __m512i _mm512_or_si512(__m512i a, __m512i b) { return a | b; }
E __m512i _mm512_xor_si512(__m512i a, __m512i b) { return a ^ b; }
E __m512i _mm512_srli_epi16(__m512i a, unsigned n) { return (__m512i)((e16)a >> (uint16_t)n); }
E __m512i _mm512_srli_epi32(__m512i a, unsigned n) { return (__m512i)((e32)a >> n); }
E __m512i _mm512_slli_epi32(__m512i a, unsigned n) { return (__m512i)((e32)a << n); }
E __m512i _mm512_sub_epi8(__m512i a, __m512i b) { return (__m512i)((e8)a - (e8)b); }
E __m512i _mm512_add_epi32(__m512i a, __m512i b) { return (__m512i)((e32)a + (e32)b); }
E __m512i _mm512_sub_epi32(__m512i a, __m512i b) { return (__m512i)((e32)a - (e32)b); }
E __m512i _mm512_mullo_epi32(__m512i a, __m512i b) { return (__m512i)((e32)a * (e32)b); }

// Four products of unsigned bytes of a and signed ones of b onto each 32-bit number; sums wrap.
E_LONG __m512i _mm512_dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  e32 r = (e32)sum;
  for (int i = 0; i < 64; i++) r[i / 4] += (uint32_t)((int32_t)((e8)a)[i] * ((e8s)b)[i]);
  return (__m512i)r;
}

E __m512i _mm512_cvtepu8_epi32(__m128i v) { return (__m512i)__builtin_convertvector((e8x16)v, e32); }
E __m512 _mm512_cvtepi32_ps(__m512i v) { return __builtin_convertvector((e32s)v, __m512); }
E_LONG __m512 _mm512_cvtph_ps(__m256i v) {
  __m512 r;
  for (int i = 0; i < 16; i++) {
    const int h = ((e16x16)v)[i], exponent = h >> 10 & 31, mantissa = h & 1023;
    float f = exponent == 31 ? (mantissa ? NAN : INFINITY) : ldexpf((float)(exponent ? mantissa + 1024 : mantissa), (exponent ? exponent : 1) - 25);
    r[i] = h & 0x8000 ? -f : f;
  }
  return r;
}

// Lane i of a by the lowest four bits of lane i of at.
E_LONG __m512 _mm512_permutexvar_ps(__m512i at, __m512 a) {
  __m512 r;
  for (int i = 0; i < 16; i++) r[i] = a[((e32)at)[i] & 15];
  return r;
}

E __m512 _mm512_add_ps(__m512 a, __m512 b) { return a + b; }
E __m512 _mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
E __m512 _mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
// One rounding, by way of doubles: products of floats are exact there, and what the sum rounds twice is under 2⁻²⁹ of a unit.
E_LONG __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  __m512 r;
  for (int i = 0; i < 16; i++) r[i] = (float)((double)a[i] * b[i] + c[i]);
  return r;
}
E __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(-a, b, c); }

#undef E
#undef E_LONG
#undef LOAD
#undef LOAD_ALIGNED
#undef STORE
#undef STORE_ALIGNED

#endif
