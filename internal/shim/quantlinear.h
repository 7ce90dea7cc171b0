// The C side of quantlinear.hpp and quantcpu.hpp.
#pragma once
#include "shim.h"
#ifdef __cplusplus
extern "C" {
#endif

// A weight [N, K] and what quantizes it. Masters are contiguous on the CPU: w float32 or bfloat16, the others float32.
typedef struct {
  T w, scale;
  T pre, zero, bias;      // or NULL
  double qmin, qmax;      // codes
  double factor;          // of the gradients of scales and zero points
} shim_quant_weight;

// How the input is quantized.
enum { SHIM_INPUT_FLOAT, SHIM_INPUT_TOKEN, SHIM_INPUT_STATIC };
typedef struct {
  int mode;
  T scale;                // of SHIM_INPUT_STATIC
  double qmax, factor;
  int integer;            // products of codes
  int bf16_backward;      // products of the backward pass in bfloat16
} shim_quant_input;

int shim_quant_linear(T *outs, T x, const shim_quant_input *in, const shim_quant_weight *weights, int n, char **err);

const char *shim_quant_kernels(void);             // the set in use
int shim_set_quant_kernels(const char *name);     // "" for the best; -1 if this CPU cannot run it

#ifdef __cplusplus
}
#endif
