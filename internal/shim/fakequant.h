// The C side of fakequant.hpp.
#pragma once
#include "shim.h"
#ifdef __cplusplus
extern "C" {
#endif

int shim_fake_quantize(T *out, T x, T scale, T zero /* or NULL */, double qmin, double qmax, char **err);
int shim_quantize_tokens(T *out, T x, double qmax, char **err);

#ifdef __cplusplus
}
#endif
