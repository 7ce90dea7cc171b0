// Package measure tells what decoding costs on this machine: milliseconds a frame in talker, code predictor and codec, the
// time to the first packet of sound, what is read from memory, and how fast this memory can be read at all.
//
// Weights may be random, and the text any tokens: speed depends on neither.
package measure
