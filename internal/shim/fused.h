// The parts of a decoder layer between its projections, each as one autograd function on the CPU.
#pragma once
#include "shim.h"
#ifdef __cplusplus
extern "C" {
#endif

// 1 if all tensors are on the CPU and of one dtype: float32, or with half also bfloat16.
int shim_fuses(T *tensors, int n, int half);

// w * x/sqrt(mean x² + eps) over the last dimension of x [..., n], w [n].
int shim_rms_norm(T *out, T x, T w, double eps, char **err);

// silu(a) * b, of one shape.
int shim_gated(T *out, T a, T b, char **err);

// KL(teacher || student) of each row of float32 logits [..., V], both times f: [...]. Nothing flows to the teacher.
int shim_divergence(T *out, T teacher, T student, double f, char **err);

// Attention with norm and rotation of queries and keys: q [B, T, heads*D], k and v [B, T, kvs*D], wq and wk [D], cos and sin
// [B or 1, 1, T, D], mask (or NULL) [B or 1, 1, T, T], all float32; out [B, T, heads*D].
typedef struct {
  T q, k, v, wq, wk, cos, sin, mask;
  int64_t heads, kvs;
  double eps;
} shim_attention_args;
int shim_attention(T *out, const shim_attention_args *a, char **err);

#ifdef __cplusplus
}
#endif
