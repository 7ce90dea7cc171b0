// WIDE marks a loop whose result must have the same bits on every machine: no contraction into FMA, and a vector unit
// chosen at run time only changes how many elements go at once.
#pragma once
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#define WIDE
#elif defined(__x86_64__) && defined(__GLIBC__)
#define WIDE __attribute__((optimize("O3", "fp-contract=off"), target_clones("avx2", "default")))
#else
#define WIDE __attribute__((optimize("O3", "fp-contract=off")))
#endif
