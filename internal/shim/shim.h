// The C side of the shim. A tensor travels as void* to an at::Tensor that the holder owns. Every function that can
// fail returns 0, or -1 with *err set to a malloc'ed message that the caller frees: no thread-local error state.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef void *T;

void shim_free(T t);
T shim_clone(T t);  // a second handle to the same storage

// autograd.hpp
int shim_backward(T *outs, T *grads, int n, int retain, int create, T *inputs, int ni, char **err);
int shim_gradient(T *out, T t, char **err);  // *out stays NULL when there is none
int shim_set_gradient(T t, T g, char **err);  // g NULL: none
int shim_grad_mode(int on);                   // returns the previous mode
int shim_grad_enabled(void);
int shim_straight_through(T *out, T value, T proxy, char **err);
int shim_checkpoint(T *outs, int nout, uintptr_t handle, T *ins, int nin, char **err);

// value.hpp
int shim_sizes(T t, int64_t *out, int max, char **err);  // out[max] becomes the number of dimensions
int shim_item(double *out, T t, char **err);

// product.hpp
int shim_linear(T *out, T x, T w, T bias /* or NULL */, char **err);

// optim.hpp
typedef struct {
  double lr, beta1, beta2, eps, weight_decay, grad_scale;
  int64_t step;  // of this parameter, from 1
} shim_adamw_args;
int shim_adamw(T param, T grad, T master /* or NULL */, T m, T v, const shim_adamw_args *a, char **err);
int shim_sum_squares(double *out, T t, char **err);

// runtime.hpp
int shim_seed(uint64_t seed, char **err);
int shim_set_threads(int n, char **err);
int shim_threads(void);
uintptr_t shim_enter(void);   // the calling OS thread takes over the number of threads; its identity
int shim_share_threads(int n);  // of the calling OS thread alone; 0: what shim_set_threads said; returns what it was
uintptr_t shim_thread(void);  // the identity of the calling OS thread while it lives
void shim_trim(void);  // memory.hpp
void shim_held(int64_t *now, int64_t *peak, int reset);  // bytes of tensors on the CPU; reset: the peak starts again
int shim_load_cuda(char **err);  // dlopen of libtorch_cuda: 0 loaded, -1 with the loader's reason

#ifdef __cplusplus
}
#endif
