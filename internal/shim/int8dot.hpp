// The integer product of package quant ("The integer layer"): int32 sums of activation codes times weight codes inside a
// group, float32 over the groups in ascending order.
#pragma once
#include "quantpass.hpp"

#include <vector>

#ifdef VECTORS
#include <immintrin.h>
#endif

// Panel is 32 rows of a weight, of which a group has span columns, a multiple of 4 (padding is 0 in the activations).
// The codes are unsigned: less the smallest code.
struct Panel {
  static constexpr int64_t rows = 32;
  int64_t groups, span;
  const uint8_t *codes;  // [groups][span/4][rows][4]
  const float *scale;    // [groups][rows]
  const int32_t *zero;   // [groups][rows]
  int top;               // the largest code that the scheme has
};

// Tokens are the codes of activations, [count][groups * span], with the sum of each group.
struct Tokens {
  const int8_t *codes;
  const int32_t *sums;  // [count][groups]
  const float *scale;   // [count]
};

// dots computes y[t][r] = scale[t] * sum for tokens [from, to) and the rows of p; y has ld numbers a token.
typedef void (*Dots)(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t from, int64_t to);

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O3", "fp-contract=off")
#endif
WIDE static int32_t dot(const int16_t *__restrict a, const int16_t *__restrict b, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static void portable_dots(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t from, int64_t to) {
  const int64_t width = p.groups * p.span;
  std::vector<int16_t> w(Panel::rows * width), a(width);
  for (int64_t k = 0; k < width; k++)
    for (int64_t r = 0; r < Panel::rows; r++) w[r * width + k] = p.codes[k / 4 * 4 * Panel::rows + 4 * r + k % 4];
  for (int64_t t = from; t < to; t++) {
    std::copy_n(x.codes + t * width, width, a.begin());
    for (int64_t r = 0; r < Panel::rows; r++) {
      float sum = 0;
      for (int64_t g = 0; g < p.groups; g++) {
        int32_t acc = dot(&w[r * width + g * p.span], &a[g * p.span], p.span);
        float part = (float)(acc - p.zero[Panel::rows * g + r] * x.sums[t * p.groups + g]) * p.scale[Panel::rows * g + r];
        sum = sum + part;
      }
      y[t * ld + r] = x.scale[t] * sum;
    }
  }
}
#ifdef VECTORS
#pragma GCC push_options
#pragma GCC target("avx2")
// vpmaddubsw gives sums of two products in 16 bits, of which so many fit together that four-bit codes need no wider sum
// inside of a group of 32. n tokens and 16 rows at once, the lower or the upper half of the panel.
template <int n>
static void avx2_block(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t t, int half) {
  const int64_t width = p.groups * p.span, most = 4 * (32767 / (2 * 128 * std::max(p.top, 1)));
  const int8_t *a = x.codes + t * width;
  const uint8_t *w = p.codes + 64 * half;
  const __m256i one = _mm256_set1_epi16(1);
  __m256 sum[n][2];
  for (int i = 0; i < n; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  for (int64_t g = 0; g < p.groups; g++) {
    const int64_t at = Panel::rows * g + 16 * half;
    __m256i acc[n][2];
    for (int h = 0; h < 2; h++) {
      __m256i zero = _mm256_loadu_si256((const __m256i *)(p.zero + at + 8 * h));
      for (int i = 0; i < n; i++) acc[i][h] = _mm256_mullo_epi32(zero, _mm256_set1_epi32(-x.sums[(t + i) * p.groups + g]));
    }
    for (int64_t from = 0; from < p.span; from += most) {
      __m256i few[n][2];
#pragma GCC unroll 8
      for (int i = 0; i < n; i++) few[i][0] = few[i][1] = _mm256_setzero_si256();
      for (int64_t k = from, to = std::min(p.span, from + most); k < to; k += 4, w += 128, a += 4) {
        __m256i w0 = _mm256_loadu_si256((const __m256i *)w), w1 = _mm256_loadu_si256((const __m256i *)(w + 32));
#pragma GCC unroll 8
        for (int i = 0; i < n; i++) {
          int32_t four;
          std::memcpy(&four, a + i * width, 4);
          __m256i b = _mm256_set1_epi32(four);
          few[i][0] = _mm256_add_epi16(few[i][0], _mm256_maddubs_epi16(w0, b));
          few[i][1] = _mm256_add_epi16(few[i][1], _mm256_maddubs_epi16(w1, b));
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < n; i++)
        for (int h = 0; h < 2; h++) acc[i][h] = _mm256_add_epi32(acc[i][h], _mm256_madd_epi16(few[i][h], one));
    }
    for (int h = 0; h < 2; h++) {
      __m256 s = _mm256_loadu_ps(p.scale + at + 8 * h);
#pragma GCC unroll 8
      for (int i = 0; i < n; i++) sum[i][h] = _mm256_add_ps(sum[i][h], _mm256_mul_ps(_mm256_cvtepi32_ps(acc[i][h]), s));
    }
  }
  for (int i = 0; i < n; i++)
    for (int h = 0; h < 2; h++)
      _mm256_storeu_ps(y + (t + i) * ld + 16 * half + 8 * h, _mm256_mul_ps(_mm256_set1_ps(x.scale[t + i]), sum[i][h]));
}

static void avx2_dots(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t from, int64_t to) {
  if (p.top > 127) return portable_dots(y, ld, p, x, from, to);  // two products could exceed 16 bits
  for (int half = 0; half < 2; half++) {
    int64_t t = from;
    for (; t + 4 <= to; t += 4) avx2_block<4>(y, ld, p, x, t, half);
    for (; t < to; t++) avx2_block<1>(y, ld, p, x, t, half);
  }
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,avxvnni")
// n tokens and 16 rows at once, the lower or the upper half of the panel.
template <int n>
static void avxvnni_block(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t t, int half) {
  const int64_t width = p.groups * p.span;
  const int8_t *a = x.codes + t * width;
  const uint8_t *w = p.codes + 64 * half;
  __m256 sum[n][2];
  for (int i = 0; i < n; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  for (int64_t g = 0; g < p.groups; g++) {
    const int64_t at = Panel::rows * g + 16 * half;
    __m256i acc[n][2];
    for (int h = 0; h < 2; h++) {
      __m256i zero = _mm256_loadu_si256((const __m256i *)(p.zero + at + 8 * h));
      for (int i = 0; i < n; i++) acc[i][h] = _mm256_mullo_epi32(zero, _mm256_set1_epi32(-x.sums[(t + i) * p.groups + g]));
    }
    for (int64_t k = 0; k < p.span; k += 4, w += 128, a += 4) {
      __m256i w0 = _mm256_loadu_si256((const __m256i *)w), w1 = _mm256_loadu_si256((const __m256i *)(w + 32));
#pragma GCC unroll 4
      for (int i = 0; i < n; i++) {
        int32_t four;
        std::memcpy(&four, a + i * width, 4);
        __m256i b = _mm256_set1_epi32(four);
        acc[i][0] = _mm256_dpbusd_avx_epi32(acc[i][0], w0, b);
        acc[i][1] = _mm256_dpbusd_avx_epi32(acc[i][1], w1, b);
      }
    }
    for (int h = 0; h < 2; h++) {
      __m256 s = _mm256_loadu_ps(p.scale + at + 8 * h);
      for (int i = 0; i < n; i++) sum[i][h] = _mm256_add_ps(sum[i][h], _mm256_mul_ps(_mm256_cvtepi32_ps(acc[i][h]), s));
    }
  }
  for (int i = 0; i < n; i++)
    for (int h = 0; h < 2; h++)
      _mm256_storeu_ps(y + (t + i) * ld + 16 * half + 8 * h, _mm256_mul_ps(_mm256_set1_ps(x.scale[t + i]), sum[i][h]));
}

static void avxvnni_dots(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t from, int64_t to) {
  for (int half = 0; half < 2; half++) {
    int64_t t = from;
    for (; t + 3 <= to; t += 3) avxvnni_block<3>(y, ld, p, x, t, half);
    for (; t < to; t++) avxvnni_block<1>(y, ld, p, x, t, half);
  }
}
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
// n tokens and 32 rows at once: the tokens' codes are what has to be loaded again and again.
template <int n>
static void avx512vnni_block(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t t) {
  const int64_t width = p.groups * p.span;
  const int8_t *a = x.codes + t * width;
  const uint8_t *w = p.codes;
  __m512 sum[n][2];
  for (int i = 0; i < n; i++) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
  for (int64_t g = 0; g < p.groups; g++) {
    __m512i acc[n][2], zero0 = _mm512_loadu_si512(p.zero + 32 * g), zero1 = _mm512_loadu_si512(p.zero + 32 * g + 16);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
      __m512i minus = _mm512_set1_epi32(-x.sums[(t + i) * p.groups + g]);
      acc[i][0] = _mm512_mullo_epi32(zero0, minus);
      acc[i][1] = _mm512_mullo_epi32(zero1, minus);
    }
    for (int64_t k = 0; k < p.span; k += 4, w += 128, a += 4) {
      __m512i lower = _mm512_loadu_si512(w), upper = _mm512_loadu_si512(w + 64);
#pragma GCC unroll 8
      for (int i = 0; i < n; i++) {
        int32_t four;
        std::memcpy(&four, a + i * width, 4);
        __m512i b = _mm512_set1_epi32(four);
        acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], lower, b);
        acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], upper, b);
      }
    }
    __m512 s0 = _mm512_loadu_ps(p.scale + 32 * g), s1 = _mm512_loadu_ps(p.scale + 32 * g + 16);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
      sum[i][0] = _mm512_add_ps(sum[i][0], _mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][0]), s0));
      sum[i][1] = _mm512_add_ps(sum[i][1], _mm512_mul_ps(_mm512_cvtepi32_ps(acc[i][1]), s1));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < n; i++) {
    __m512 s = _mm512_set1_ps(x.scale[t + i]);
    _mm512_storeu_ps(y + (t + i) * ld, _mm512_mul_ps(s, sum[i][0]));
    _mm512_storeu_ps(y + (t + i) * ld + 16, _mm512_mul_ps(s, sum[i][1]));
  }
}

static void avx512vnni_dots(float *y, int64_t ld, const Panel &p, const Tokens &x, int64_t from, int64_t to) {
  for (; from + 6 <= to; from += 6) avx512vnni_block<6>(y, ld, p, x, from);
  for (; from < to; from++) avx512vnni_block<1>(y, ld, p, x, from);
}
#pragma GCC pop_options
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
