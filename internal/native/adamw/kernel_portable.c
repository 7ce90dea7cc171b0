// For any CPU: the compiler maps vectors of four floats to what there is (SSE2, NEON).
#include <math.h>

#define W 4
#define TARGET
#if defined(__SSE2__)
#include <immintrin.h>
#define ROOT(v) ((vf)_mm_sqrt_ps((__m128)(v)))
#elif defined(__aarch64__)
#include <arm_neon.h>
#define ROOT(v) ((vf)vsqrtq_f32((float32x4_t)(v)))
#else
#define ROOT(v) ((vf){sqrtf((v)[0]), sqrtf((v)[1]), sqrtf((v)[2]), sqrtf((v)[3])})
#endif
#define LOOKUP(table, i) ((vu){(table)[(i)[0]], (table)[(i)[1]], (table)[(i)[2]], (table)[(i)[3]]})
#include "kernel.h"

const adamw_kernels adamw_portable = {"portable", update, squares, encode_block, decode_block};
