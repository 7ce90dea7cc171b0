// Many rows of x in AMX. A tile of weights is 16 rows of w by 64 columns, or by the 32 of a small group: line after line
// of a strip, unpacked to u - z. Two such and two of x make four tiles of sums, 32 rows of w by 32 of x, for each group.
// While the tiles work on a group, the vector unit scales and adds the sums of the one before.
#if defined(__x86_64__)
#include <immintrin.h>

#include "tiles.h"

#define W 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#include "half.h"
#include "int4.h"
#include "vectors.h"

#define PANEL 2
#define COLS 512
enum { LANES = PANEL * INT4_STRIP, TILE = 16 };

typedef struct {
  _Alignas(64) int8_t code[PANEL][COLS / 4][INT4_LINE]; // 16 rows of four columns
  float scale[COLS / 32][PANEL][INT4_STRIP];
} panel;

static TARGET void unpack(const nat_int4 *w, int s, int n, int g0, int g1, panel *to) {
  const size_t block = int4_block(w), head = int4_head(w);
  const __m512i nibble = _mm512_set1_epi8(15);
  memset(to->code[1], 0, n < PANEL ? sizeof to->code[1] : 0);
  for (int i = 0; i < PANEL; i++) {
    const uint8_t *p = w->strips + (size_t)(s + i) * int4_strip(w) + (size_t)g0 * block;
    int8_t(*code)[INT4_LINE] = to->code[i];
    for (int g = 0; g < g1 - g0; g++, p += block) {
      if (i >= n) { // the weight ends with half a panel
        memset(to->scale[g][i], 0, sizeof to->scale[g][i]);
        continue;
      }
      _mm512_store_ps(to->scale[g][i], _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)));
      __m512i zero = _mm512_set1_epi8(8);
      if (w->asym) // each byte in all four of its row
        zero = _mm512_mullo_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p + 32))), _mm512_set1_epi32(0x01010101));
      for (const uint8_t *line = p + head; line < p + block; line += INT4_LINE, code += 2) {
        const __m512i v = _mm512_loadu_si512(line);
        __builtin_prefetch(line + 4 * block);
        _mm512_store_si512(code[0], _mm512_sub_epi8(_mm512_and_si512(v, nibble), zero));
        _mm512_store_si512(code[1], _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(v, 4), nibble), zero));
      }
    }
  }
}

// Tiles 0 1 2 3 hold sums, of rows of x [0 0 1 1] and strips [0 1 0 1]; 4 5 hold x, 6 7 weights.
INLINE void configure(int rows0, int rows1, int bytes) {
  tile_config c = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    c.rows[t] = (uint8_t)(t >= 6 ? bytes / 4 : t == 2 || t == 3 || t == 5 ? rows1 : rows0);
    c.bytes[t] = c.rows[t] == 0 ? 0 : (uint16_t)(t == 4 || t == 5 ? bytes : 64);
  }
  TILES_CONFIGURE(&c);
}

// A group of columns into tiles 0 … 3; two: of 32 rows of x, not 16.
INLINE void tiles(const int8_t *const code[PANEL], const int8_t *x, size_t ldx, int group, int bytes, int two) {
  TILE_ZERO(0);
  TILE_ZERO(1);
  if (two) {
    TILE_ZERO(2);
    TILE_ZERO(3);
  }
  for (int k = 0; k < group; k += bytes) {
    TILE_LOAD(6, code[0] + k * 16, INT4_LINE);
    TILE_LOAD(4, x + k, ldx);
    TILE_DOT(0, 4, 6);
    TILE_LOAD(7, code[1] + k * 16, INT4_LINE);
    TILE_DOT(1, 4, 7);
    if (two) {
      TILE_LOAD(5, x + TILE * ldx + k, ldx);
      TILE_DOT(2, 5, 6);
      TILE_DOT(3, 5, 7);
    }
  }
}

// total[m][LANES] += scale · sums of rows of x from those of a tile.
INLINE void fold(int32_t (*sums)[TILE][TILE], const float (*scale)[INT4_STRIP], int rows, float *total) {
  const __m512 s0 = _mm512_load_ps(scale[0]), s1 = _mm512_load_ps(scale[1]);
  for (int m = 0; m < rows; m++, total += LANES) {
    const __m512 a = _mm512_cvtepi32_ps(_mm512_load_si512(sums[0][m])), b = _mm512_cvtepi32_ps(_mm512_load_si512(sums[1][m]));
    _mm512_store_ps(total, _mm512_fmadd_ps(a, s0, _mm512_load_ps(total)));
    _mm512_store_ps(total + TILE, _mm512_fmadd_ps(b, s1, _mm512_load_ps(total + TILE)));
  }
}

INLINE void tile_block(const panel *p, int groups, int group, int bytes, const int8_t *x, size_t ldx, int rows0, int rows1, float *total) {
  _Alignas(64) int32_t sums[2][4][TILE][TILE];
  for (int g = 0; g <= groups; g++) {
    if (g < groups) {
      const int8_t *const code[PANEL] = {p->code[0][g * group / 4], p->code[1][g * group / 4]};
      tiles(code, x + (size_t)g * (size_t)group, ldx, group, bytes, rows1 > 0);
    }
    if (g > 0) {
      fold(sums[~g & 1], p->scale[g - 1], rows0, total);
      fold(sums[~g & 1] + 2, p->scale[g - 1], rows1, total + TILE * LANES);
    }
    if (g < groups) {
      TILE_STORE(0, sums[g & 1][0], 64);
      TILE_STORE(1, sums[g & 1][1], 64);
      if (rows1 > 0) {
        TILE_STORE(2, sums[g & 1][2], 64);
        TILE_STORE(3, sums[g & 1][3], 64);
      }
    }
  }
}

static TARGET void multiply(const nat_int4 *w, const panel *p, int n, int g0, int g1, const int4_rows *x, int M, float *total) {
  const int bytes = w->group < 64 ? w->group : 64, rest = M % (2 * TILE), rows0 = rest < TILE ? rest : TILE;
  const int8_t *code = x->code + (size_t)g0 * (size_t)w->group;
  int m = 0;
  if (M >= 2 * TILE) configure(TILE, TILE, bytes);
  for (; m + 2 * TILE <= M; m += 2 * TILE)
    tile_block(p, g1 - g0, w->group, bytes, code + (size_t)m * x->codes, x->codes, TILE, TILE, total + m * LANES);
  if (rest > 0) {
    configure(rows0, rest - rows0, bytes);
    tile_block(p, g1 - g0, w->group, bytes, code + (size_t)m * x->codes, x->codes, rows0, rest - rows0, total + m * LANES);
  }
  TILES_RELEASE();
}

#include "many_a8.h"

INT4_A8(int4_many_a8_amx) { many_a8(w, r0, r1, room, M, y, ldy, add); }
#endif
