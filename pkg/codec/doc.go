// Package codec is the 12 Hz speech tokenizer of Qwen3-TTS: it turns a waveform into a few codes per frame and codes back
// into a waveform. A frame is 80 ms in the published model: 1920 samples, 16 codes.
//
//	m, err := codec.Load(dir, codec.Options{})      // dir is the checkpoint's speech_tokenizer folder
//	codes, err := m.Encode(samples)                 // [frames][groups]
//	samples, err = m.Decode(codes)                  // as the reference decodes: in chunks of 300 frames
//
// The encoder is that of Mimi (Défossez et al. 2024): strided convolutions, a transformer, a stride-2 convolution, and two
// residual quantizers on the same latents, one for the first (semantic) code and one for the rest. The decoder adds the
// code vectors up, runs a transformer with a short window and upsamples with transposed convolutions, ConvNeXt blocks and
// residual units with SnakeBeta activations (Lee et al. 2023).
//
// Both are causal. So a decoder that keeps the last inputs of each convolution, and the keys and values of one attention
// window, goes on where it stopped: a Stream gives, frame by frame, the samples of DecodeWhole, in bounded memory. Chunked
// decoding is not the same beyond its first chunk: each chunk starts afresh with a few frames of context, while the
// layers of the transformer together see further back.
//
// Nearly all work of decoding is in the last blocks. On the CPU they run in C (internal/native), from a copy of their
// weights that is made at the first decoding, and anew when they have changed: 105 MB of the published model in bfloat16,
// 210 MB in float32. Bfloat16 takes half the time where the CPU multiplies it, and rounds less than libtorch does: sums and
// residual connections stay float32. While the blocks are trained, and on a GPU, libtorch computes them.
//
// Codec.Encoder and Codec.Decoder are modules: their parameters may be initialized, trained and saved.
//
// Shapes: B batch, T time at the rate of the layer, C channels, G codes per frame, V codes of one codebook, D the width
// of a code vector.
package codec
