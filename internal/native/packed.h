// bf16 weights in 12 bits, without loss.
//
// The weights of a row have few exponents: their spread is that of their sizes, not of the number format. Four bits say
// which of the 15 exponents below the row's largest a weight has; sign and mantissa need eight. The rest, some of a
// thousand, are zero here and stand in a list by column. Decoding waits for memory, so a quarter fewer bytes is a
// quarter less time, and the numbers stay the checkpoint's.
//
//   block of 128 weights, 192 bytes:  16 lanes of 32 bits, of which lane l has in bits 4j … 4j+3 the code of weight 16j+l,
//                                     then the 128 bytes sign·2⁷ + mantissa
//   weight = ± (1 + mantissa/128) · 2^(code-15) · scale of the row;  code 0: zero
#ifndef QAKD_PACKED_H
#define QAKD_PACKED_H

#include "native.h"

enum { PACKED_BLOCK = 128, PACKED_BYTES = 192, PACKED_CODES = 15 };

static inline size_t packed_row(int cols) { return (size_t)cols / PACKED_BLOCK * PACKED_BYTES; }

#endif
