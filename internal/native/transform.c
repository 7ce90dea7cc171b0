// Hadamard rotations of rows (QuaRot §3): D·H·D along blocks, with random signs D. H is the orthonormal Walsh–Hadamard
// matrix of size 2^k, or the Kronecker product of a Hadamard matrix of size 12 and that of size 2^k.
#include <math.h>
#include <string.h>

#include "native.h"

// The conference matrix of size 6: squares modulo 5 (Paley 1933).
static const float conference[6][6] = {{0, 1, 1, 1, 1, 1},   {1, 0, 1, -1, -1, 1}, {1, 1, 0, 1, -1, -1},
                                       {1, -1, 1, 0, 1, -1}, {1, -1, -1, 1, 0, 1}, {1, 1, -1, -1, 1, 0}};

// The twelve runs of n numbers at y times the matrix of Paley's second construction, C ⊗ (1 1; 1 -1) + I ⊗ (1 -1; -1 -1)
// with the conference matrix C: sums and differences of pairs of runs first.
static void twelve(float *y, int n) {
  for (int k = 0; k < n; k++) {
    float sum[6], difference[6];
    for (int j = 0; j < 6; j++) {
      float a = y[(2 * j) * n + k], b = y[(2 * j + 1) * n + k];
      sum[j] = a + b;
      difference[j] = a - b;
    }
    for (int i = 0; i < 6; i++) {
      float a = difference[i], b = -sum[i]; 
      for (int j = 0; j < 6; j++) {
        a += conference[i][j] * sum[j];
        b += conference[i][j] * difference[j];
      }
      y[(2 * i) * n + k] = a;
      y[(2 * i + 1) * n + k] = b;
    }
  }
}

void nat_transform_row(const nat_transform *t, const float *x, int n, float *y) {
  if (t->divisor)
    for (int i = 0; i < n; i++) y[i] = x[i] / t->divisor[i];
  else if (y != x)
    memcpy(y, x, sizeof(float) * (size_t)n);
  if (t->block < 1) return;
  const int run = t->block % 3 == 0 ? t->block / 12 : t->block;
  const float scale = 1 / sqrtf((float)t->block);
  for (float *block = y; block < y + n; block += t->block) {
    if (t->signs)
      for (int i = 0; i < t->block; i++) block[i] *= t->signs[i];
    for (int half = 1; half < run; half *= 2)
      for (int i = 0; i < t->block; i += 2 * half)
        for (int k = i; k < i + half; k++) {
          float a = block[k], b = block[k + half];
          block[k] = a + b;
          block[k + half] = a - b;
        }
    if (run < t->block) twelve(block, run);
    for (int i = 0; i < t->block; i++) block[i] *= t->signs ? scale * t->signs[i] : scale;
  }
}
