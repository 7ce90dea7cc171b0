// Package lattice puts weights on the lattice of package quant: codes, and the searches for scales, in vectorized C that is
// chosen by the CPU at run time. pkg/calib says what the methods are; here are their inner loops.
//
// A weight [n, k] is float32, row after row. Its units, runs of Width consecutive values, have one scale each, in every
// granularity: a group, a row, or all. Codes are bytes q - qmin: 0...15 or 0...255, whatever the scheme. Scales and zero
// points by a rule, codes, and the search's choice are those of package quant to the bit, with any set of kernels; sums of
// the other methods differ between sets by rounding.
//
// Work is divided among a set's threads; what comes out does not depend on their number.
package lattice
