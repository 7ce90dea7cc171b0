// Rounding to nearest: float weights to strips.
#include "half.h"
#include "int4.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// 1.5·2²³: added to a small number, it leaves its nearest integer, half to even, in the lowest bits.
static const float MAGIC = 12582912.0f;

// pkg/quant's RoundScale of a finite number ≥ 0.
static inline float on_grid(float x) {
  if (x <= 0x1p-14f) return 0x1p-14f;
  if (x >= 65280.0f) return 65280.0f;
  uint32_t b;
  memcpy(&b, &x, sizeof b);
  b += 0x7fff + (b >> 16 & 1);
  b &= 0xffff0000u;
  memcpy(&x, &b, sizeof x);
  return x;
}

// The scale of weights whose largest has these bits, but for the sign; negative if it is not finite.
static inline float scale_of(uint32_t most) {
  if (most >= 0x7f800000u) return -1;
  float a;
  memcpy(&a, &most, sizeof a);
  return on_grid(a / 7.0f);
}

static inline uint32_t bits_of(const void *x, int bf16, size_t i) {
  return bf16 ? (uint32_t)((const uint16_t *)x)[i] << 16 : ((const uint32_t *)x)[i];
}

// A group of one row: its codes u = q + 8 to lines, 64 bytes apart, and its scale; negative where a weight is not finite.
static float group_portable(const void *x, int bf16, int n, uint8_t *line) {
  uint32_t most = 0;
  for (int i = 0; i < n; i++) {
    const uint32_t a = bits_of(x, bf16, (size_t)i) & 0x7fffffffu;
    most = a > most ? a : most;
  }
  const float scale = scale_of(most);
  if (scale < 0) return scale;
  for (int i = 0; i < n; i++) {
    const uint32_t b = bits_of(x, bf16, (size_t)i);
    union {
      float f;
      uint32_t u;
    } m;
    memcpy(&m.f, &b, sizeof b);
    const float v = m.f / scale;
    m.f = (v < -8.0f ? -8.0f : v > 7.0f ? 7.0f : v) + MAGIC;
    const uint8_t u = (uint8_t)((m.u + 8) & 15);
    uint8_t *to = line + i / 8 * INT4_LINE + i % 4;
    *to = i % 8 < 4 ? u : (uint8_t)(*to | u << 4);
  }
  return scale;
}

#if defined(__x86_64__)
static inline __attribute__((target("avx2"), always_inline)) __m256 load8(const void *x, int bf16, int i) {
  if (!bf16) return _mm256_loadu_ps((const float *)x + i);
  const __m128i h = _mm_loadu_si128((const __m128i *)((const uint16_t *)x + i));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static inline __attribute__((target("avx2"), always_inline)) float group_by8(const void *x, int bf16, int n, uint8_t *line) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i most = _mm256_setzero_si256();
  for (int i = 0; i < n; i += 8) most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(load8(x, bf16, i)), magnitude));
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
  const float scale = scale_of((uint32_t)_mm_cvtsi128_si32(m));
  if (scale < 0) return scale;
  const __m256 by = _mm256_set1_ps(scale), low = _mm256_set1_ps(-8), high = _mm256_set1_ps(7), magic = _mm256_set1_ps(MAGIC);
  const __m256i eight = _mm256_set1_epi32(8), nibble = _mm256_set1_epi32(15);
  const __m128i bytes = _mm_set1_epi32(0x0c080400);
  for (int i = 0; i < n; i += 8, line += INT4_LINE) {
    const __m256 v = _mm256_min_ps(_mm256_max_ps(_mm256_div_ps(load8(x, bf16, i), by), low), high);
    const __m256i u = _mm256_and_si256(_mm256_add_epi32(_mm256_castps_si256(_mm256_add_ps(v, magic)), eight), nibble);
    const __m128i both = _mm_or_si128(_mm256_castsi256_si128(u), _mm_slli_epi32(_mm256_extracti128_si256(u, 1), 4));
    const int four = _mm_cvtsi128_si32(_mm_shuffle_epi8(both, bytes));
    memcpy(line, &four, 4);
  }
  return scale;
}

static __attribute__((target("avx2"))) float group_avx2(const void *x, int bf16, int n, uint8_t *line) {
  return bf16 ? group_by8(x, 1, n, line) : group_by8(x, 0, n, line);
}
#endif

enum { RUN = 256 };  // weights of a row

// Strip s of w [rows, cols], which is float32 or bf16. It returns the first row that has a weight which is not finite, or -1.
int int4_nearest(const nat_int4 *w, uint8_t *strips, const void *from, int bf16, int s) {
  float (*group)(const void *, int, int, uint8_t *) = group_portable;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) group = group_avx2;
#endif
  const size_t block = int4_block(w), cols = (size_t)w->cols, size = bf16 ? 2 : 4;
  uint8_t *strip = strips + (size_t)s * int4_strip(w);
  // Rows lie a multiple of 4 KiB apart, where a cache hardly holds sixteen of them: each is read RUN weights at a time.
  const int groups = int4_groups(w), run = w->group < RUN ? RUN / w->group : 1;
  for (int from_g = 0; from_g < groups; from_g += run) {
    const int end = from_g + run < groups ? from_g + run : groups;
    for (int i = 0; i < INT4_STRIP; i++) {
      const size_t r = (size_t)s * INT4_STRIP + (size_t)i;
      if (r < (size_t)w->rows) // the same row's next run
        for (size_t b = 0; b < RUN * size; b += 64)
          __builtin_prefetch((const char *)from + size * (r * cols + (size_t)end * (size_t)w->group) + b);
      for (int g = from_g; g < end; g++) {
        uint8_t *p = strip + (size_t)g * block, *line = p + int4_head(w) + 4 * i;
        float scale = 0;
        if (r < (size_t)w->rows) {
          scale = group((const char *)from + size * (r * cols + (size_t)g * (size_t)w->group), bf16, w->group, line);
          if (scale < 0) return (int)r;
        } else
          for (int j = 0; j < w->group / 8; j++) memset(line + j * INT4_LINE, 0x88, 4);
        int4_put_half(p + 2 * i, scale);
      }
    }
  }
  return -1;
}
