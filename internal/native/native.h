// The interface between the C files of this package, and to Go.
#ifndef QAKD_NATIVE_H
#define QAKD_NATIVE_H

#include <stddef.h>
#include <stdint.h>

// How numbers are stored; a matrix of NAT_FOREIGN is another package's, and so are its products. NAT_INT8 is for rows of
// the key-value cache: codes in -127 … 127, then the row's scale in float32.
enum { NAT_F32, NAT_BF16, NAT_FOREIGN, NAT_INT8 };

// Bytes of a row of n numbers in the cache.
static inline long nat_row_bytes(int kind, int n) {
  return kind == NAT_F32 ? 4L * n : kind == NAT_BF16 ? 2L * n : n + 4L;
}

typedef struct nat_matrix nat_matrix;

// A matrix format that another package computes with: a table of functions, which stays where it is. All may be called
// by several threads at once, with a room of 64-byte alignment that is theirs alone or in which each has its rows.
typedef struct {
  const char *name;
  int grain; // a power of two: products are split between threads at multiples of so many rows
  size_t (*room)(const nat_matrix *w, int M); // bytes that M prepared rows of x take; 0: x is read as it is
  // Prepares the rows m0 ≤ m < m1 of the M rows of x [M, cols] (quantizes them).
  void (*prepare)(const nat_matrix *w, const float *x, int ldx, int M, int m0, int m1, void *room);
  // y[m][r] (+)= Σ_k w[r][k]·x[m][k] (+ bias) for rows r0 ≤ r < r1 of w and all M rows of x, which the room has.
  void (*product)(const nat_matrix *w, int r0, int r1, const float *x, int ldx, const void *room, int M, float *y, int ldy, int add);
  int (*shares)(const nat_matrix *a, const nat_matrix *b); // whether what a's prepare makes of x serves b
  void (*row)(const nat_matrix *w, int r, float *out);     // row r as floats
} nat_format;

// A bf16 matrix in 12 bits per weight, without loss; see packed.h. Absent: lines is NULL.
typedef struct {
  const uint8_t *lines;
  const float *scale;    // [rows]
  const uint32_t *first; // [rows+1] into col and val: the weights that the 12 bits cannot say
  const uint32_t *col;
  const float *val;
} nat_packed;

// What happens to the input of a product before anything else: x/divisor, then D·H·D along blocks of so many numbers, with
// the orthonormal Hadamard matrix H; see transform.c.
typedef struct {
  const float *divisor; // [cols] or NULL
  int cols;
  int block;            // 2^k or 12·2^k; it divides the width; 0: none
  const float *signs;   // D, [block] or NULL
} nat_transform;

// y = the transform of x [n]; they may be the same.
void nat_transform_row(const nat_transform *t, const float *x, int n, float *y);

// A matrix [rows, cols], row after row, or the descriptor of a foreign one. What is at data belongs to somebody else.
struct nat_matrix {
  int kind, rows, cols;
  const void *data;
  const nat_format *format; // of a foreign one
  const float *bias;        // [rows] or NULL
  const nat_transform *transform; // of the input, or NULL; one address stands for one transform
  nat_packed packed;
};

// A set of kernels for one kind of CPU.
typedef struct {
  const char *name;
  int packed; // reads packed weights
  // y[m][r] (+)= Σ_k w[r][k]·x[m][k] (+ bias) for rows r0 ≤ r < r1 and M rows of x.
  void (*matmul)(const nat_matrix *w, int r0, int r1, const float *x, int ldx, int M, float *y, int ldy, int add);
  // y = w · x/√(mean x² + eps)
  void (*rmsnorm)(const float *x, const float *w, int n, float eps, float *y);
  // Turns the pairs (i, i+n/2).
  void (*rotate)(float *x, const float *cosine, const float *sine, int n);
  // gate = silu(gate)·up
  void (*swiglu)(float *gate, const float *up, int n);
  // out[g] = Σ_s softmax(q[g]·k[s]/√D) v[s] for the heads g of one key head; score has room for heads·S.
  void (*attend)(const float *q, int heads, int D, const void *k, const void *v, int kind, int S, float *score, float *out);
  void (*store)(const float *x, int n, int kind, void *to); // a row for the cache
} nat_kernels;

extern const nat_kernels nat_portable;
#if defined(__x86_64__)
extern const nat_kernels nat_avx2, nat_avx512, nat_avx512bf16;
#endif
const nat_kernels *nat_kernels_at(int i); // those that this CPU can run, slowest first; NULL after the last

// Threads that run one job together; see pool.c.
typedef struct nat_pool nat_pool;
typedef void (*nat_job)(void *arg, int thread, int threads);
nat_pool *nat_pool_new(int threads);
void nat_pool_run(nat_pool *p, nat_job job, void *arg);
void nat_pool_barrier(nat_pool *p);
int nat_pool_threads(const nat_pool *p);
void nat_pool_free(nat_pool *p);
void nat_share(int n, int thread, int threads, int grain, int *from, int *to);

// One decoder layer: projections and gains.
typedef struct {
  nat_matrix q, k, v, o, gate, up, down;
  const float *input_norm, *post_norm, *q_norm, *k_norm;
} nat_layer;

typedef struct {
  int layers, width, heads, kv, dim, inner;
  float eps;
  int cache; // kind of the key-value cache's rows
} nat_shape;

// Where a decoder's time goes; NAT_OUTSIDE is between calls and not counted.
enum { NAT_QKV, NAT_O, NAT_GATE_UP, NAT_DOWN, NAT_HEADS, NAT_DRAWS, NAT_PHASES, NAT_OUTSIDE = -1 };

// A decoder and its caches; see stack.c.
typedef struct nat_stack nat_stack;
nat_stack *nat_stack_new(nat_pool *pool, const nat_kernels *kernels, const nat_shape *shape, const float *frequency);
nat_layer *nat_stack_layers(nat_stack *s);
void nat_stack_norm(nat_stack *s, const float *gain);
void nat_stack_rotation(nat_stack *s, const nat_transform *t); // of the residual stream, its own inverse; NULL: none
int nat_stack_prefill(nat_stack *s, const float *x, const int32_t *rows, int sequences, float *out);
int nat_stack_step(nat_stack *s, const float *x, float *out);
int nat_stack_keep(nat_stack *s, const int32_t *from, int sequences);
int nat_stack_sequences(const nat_stack *s);
void nat_caches_clear(nat_stack *s);
const double *nat_stack_spent(const nat_stack *s); // seconds, [NAT_PHASES]
void nat_stack_free(nat_stack *s);

// Packed weights; see packed.h.
int nat_pack(nat_pool *pool, nat_matrix *m);
void nat_packed_free(nat_matrix *m);
size_t nat_packed_size(int rows, int cols);

void nat_fetch(const nat_matrix *w, int r);

// Memory of whole pages, large ones where the system has them; NULL when there is none.
void *nat_memory(size_t bytes);
void nat_memory_free(void *p, size_t bytes);

// y = x·Wᵀ (+ bias) on all threads; 0 where memory is short.
int nat_apply(nat_pool *pool, const nat_kernels *kernels, const nat_matrix *w, const float *x, int M, float *y);

// Reads bytes of memory on all threads, and nothing else: how fast that is.
uint64_t nat_read(nat_pool *pool, const void *data, size_t bytes);

// How codes are drawn from logits; sample 0 takes the best.
typedef struct {
  int sample, top_k;
  double temperature, top_p;
} nat_sampling;

// The code drawn at u of n scores, which change; room has nat_draw_room(n) bytes. A score at a place is not a number, or
// +∞: -1-place.
int nat_draw(float *scores, int n, const nat_sampling *s, double u, void *room);
size_t nat_draw_room(int n);

// Codes 1 … G-1 of a frame; see frame.c.
typedef struct {
  int codebook, heads, width; // V, G-1, the talker's H
  nat_matrix adapter;         // data NULL: none
  nat_matrix *head;           // [G-1] of [V, Hp]
  nat_matrix *table;          // [G] of [·, H]: codes 0, then 1 … G-1
} nat_predictor;
int nat_frame(nat_stack *s, const nat_predictor *p, const nat_sampling *how, const float *hidden, const int32_t *code0,
              const double *u, int sequences, int32_t *codes, float *total, int32_t *bad);

#endif
