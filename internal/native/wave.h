// A chain of causal convolutions over time, as in a vocoder; see wave.c. Rows are moments, with their channels next to
// each other, padded with zeros to a multiple of WAVE_PAD.
#ifndef QAKD_WAVE_H
#define QAKD_WAVE_H

#include "native.h"

enum { WAVE_PAD = 16 };

static inline int wave_pitch(int channels) { return (channels + WAVE_PAD - 1) / WAVE_PAD * WAVE_PAD; }

// One convolution: y[t·phases+p] = bias + Σ_j w[p][j]·x[t-(taps-1-j)·dilation].
typedef struct {
  int in, out, taps, dilation, phases;
  void *w;                  // packed by the kernels
  float *bias;              // [pitch]
  float *frequency, *scale; // [pitch] of the SnakeBeta before the next step, x + scale·sin²(π·frequency·x); or NULL
  int add, keep;            // adds the kept rows of y; keeps the sum
} nat_conv;

// What a step reads and writes; pointers are to the first row of the outputs.
typedef struct {
  const void *x;    // elements, (taps-1)·dilation rows before the first moment
  const float *add; // or NULL
  float *y;         // or NULL: the sum
  void *next;       // or NULL: elements, after the SnakeBeta
} nat_conv_rows;

// Kernels for one kind of CPU and of element.
typedef struct {
  const char *name;
  size_t element;                        // bytes
  int columns;                           // outputs of a block
  size_t (*size)(const nat_conv *c);     // bytes of packed weights
  void (*pack)(nat_conv *c, const float *w); // w is [phases][taps][in][out]
  void (*store)(const float *x, int n, void *to);
  // Block b of the outputs, ceil(out/columns)·phases in all, at the moments t0 ≤ t < t1.
  void (*run)(const nat_conv *c, const nat_conv_rows *r, int b, int t0, int t1);
} nat_wave_kernels;

extern const nat_wave_kernels nat_wave_portable;
#if defined(__x86_64__)
extern const nat_wave_kernels nat_wave_avx2, nat_wave_avx512, nat_wave_bf16;
#endif
const nat_wave_kernels *nat_wave_kernels_at(int bf16, int i); // that this CPU can run, slowest first; NULL after the last

typedef struct nat_wave nat_wave;
nat_wave *nat_wave_new(const nat_wave_kernels *k, int steps);
// Sets a step; returns 0 where memory is short. alpha and beta may be NULL.
int nat_wave_step(nat_wave *w, int i, const nat_conv *shape, const float *weight, const float *bias, const float *alpha, const float *beta);
size_t nat_wave_state(const nat_wave *w); // bytes that a signal needs between two runs, all zero at its start
// Decodes rows of x [rows][in] into out [rows·phases of all steps][out of the last]; 0 where memory is short.
int nat_wave_run(nat_wave *w, nat_pool *pool, void *state, const float *x, int rows, float *out);
void nat_wave_free(nat_wave *w);

#endif
