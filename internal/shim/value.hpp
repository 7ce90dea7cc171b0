#pragma once
#include "shim.hpp"

extern "C" {
int shim_sizes(T t, int64_t *out, int max, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(ref(t).defined(), "tensor is undefined");
    auto s = ref(t).sizes();
    TORCH_CHECK((int)s.size() <= max, "tensor has ", s.size(), " dimensions, at most ", max, " are supported");
    for (size_t i = 0; i < s.size(); i++) out[i] = s[i];
    out[max] = (int64_t)s.size();
  });
}

int shim_item(double *out, T t, char **err) {
  return guard(err, [&] {
    TORCH_CHECK(ref(t).defined() && ref(t).numel() == 1, "tensor ", ref(t).sizes(), " has ", ref(t).numel(), " elements, want one");
    *out = ref(t).item().toDouble();
  });
}
}
