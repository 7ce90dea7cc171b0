// How the input of a product is quantized (pkg/quant, "Activations").
#ifndef QAKD_ACTIVATION_H
#define QAKD_ACTIVATION_H

enum { NAT_INPUT_FLOAT, NAT_INPUT_TOKEN, NAT_INPUT_STATIC }; // numbered as pkg/quant's ActivationMode

typedef struct {
  int mode;
  float qmax;  // 7 or 127: codes are -qmax-1 … qmax
  float scale; // of NAT_INPUT_STATIC
} nat_activation;

static inline int nat_activation_equal(const nat_activation *a, const nat_activation *b) {
  return a->mode == b->mode && (a->mode == NAT_INPUT_FLOAT || a->qmax == b->qmax) && (a->mode != NAT_INPUT_STATIC || a->scale == b->scale);
}

#endif
