// Package export writes packed checkpoints in the formats of other programs, and reads those back.
//
//	result, err := export.Export("runs/demo-w4a8/packed", "student-gptq", export.Options{Format: "gptq", WeightsOnly: true})
//	result, err = export.Import("student-gptq", "packed-again")
//
// Nothing is quantized here. The codes and scales that training ended with are moved, so that
//
//	dequantized in any format = fake-quantized, bit for bit
//	export, import and export again = the same bytes
//
// and what a format cannot hold exactly is refused, in one error with every layer and the reason. Scales must lie on the
// grid of package quant, which fp16 and bf16 both hold. Everything that is not quantized passes through in its own dtype;
// every other file of the folder comes along; folders appear whole or not at all.
//
// # Lattices
//
//	format              bits  zero points   scales for                       inputs                 embedding tables
//	compressed-tensors  4, 8  yes           tensor, row, any group           float, int4/int8       4 and 8 bits
//	gptq                4, 8  none at 0     row, any group                   float                  stay float
//	gptq-v2             4, 8  yes           row, any group                   float                  stay float
//	awq                 4     yes           row, or one group size for all   float                  stay float
//	torchao             4     yes           row, any group                   float                  stay float
//	gguf                4, 8  see below     multiples of 32                  float                  4 and 8 bits
//
// One scale for a tensor is written as that of each row, and one of a row or of a group of more than 32 as that of each of
// its blocks in GGUF: the values are the same. A format that "has float inputs" refuses layers whose input is quantized
// too, unless Options.WeightsOnly says that the inputs may stay float. A table that stays float is written in F16 (4 bits)
// or F32, which hold its values exactly.
//
// # compressed-tensors
//
// The packed checkpoint itself (package qat), written anew. Scales are BF16, or F16 where an imported file has others.
//
// # gptq, gptq-v2
//
// Per layer qweight I32 [K/8, N], qzeros I32 [K/g, N/8], scales F16 [K/g, N], g_idx I32 [K]; 4 codes a word for 8 bits. Bit
// 4j of word (r, n) is where code u = q - qmin of input 8r+j begins: the words of compressed-tensors, transposed. Zero
// points are 8 for symmetric layers. Version 1 stores them less 1, so that 0 has no place. Layers with other settings than
// most, and those that stay float, are under "dynamic", as GPTQModel and vLLM read it; inputs are in order (desc_act false).
//
// # awq
//
// qweight I32 [K, N/8], qzeros I32 [K/g, N/8], scales F16 [K/g, N]: nibble i of word (k, c) is output 8c + (0, 2, 4, 6, 1,
// 3, 5, 7)[i]. Symmetric layers have zero points of 8 everywhere, and come back as symmetric.
//
// # torchao
//
// Int4Tensor in the plain packing, flattened as torchao.prototype.safetensors does: <path>._weight_qdata I8 [N, K/2], the
// low nibble input 2i, the high one 2i+1, as two's complement of q (asymmetric: u - 8); _weight_scale and
// _weight_zero_point [K/g, N]; value q*s + zero. The order of the nibbles is that of pack_int4 in mslk, which torchao packs
// with (checked against mslk-cuda 1.1.0 and torchao 0.18.0 by make interop). Scales are BF16, which torchao's kernel wants;
// asymmetric layers have F16 instead, which holds their zero points (8-z)*s exactly and BF16 does not. Whether a layer was
// asymmetric with zero points of 8 throughout is lost; the values are not.
//
// # gguf
//
// Blocks: symmetric 4 bits are Q4_0, symmetric 8 bits Q8_0, asymmetric 4 bits Q4_1 where -z*s is exact in fp16 for every
// group, which it is for all z up to 8 and depends on the scale above. Codes of -128 are kept in Q8_0, whose own quantizer
// never makes them. Vectors and kernels of convolutions are F32 (exact), other float weights keep their dtype.
//
// A folder has
//
//	talker.gguf       the talker, architecture qwen3tts
//	mmproj.gguf       its companion: code predictor, speaker encoder and the codec's decoder
//	text.safetensors  text embedding and text projection as they were
//	config.json and every other file of the checkpoint
//
// llama.cpp reads the first two. What it expects is established by its sources as of August 2026 (pull request 26254:
// conversion/qwen3tts.py, src/models/qwen3vl.cpp, tools/mtmd/clip-impl.h, gguf-py/gguf/constants.py):
//
//   - The architecture qwen3tts has the hyperparameters and tensors of qwen3vl: token_embd, output_norm, output, and per
//     block attn_norm, attn_q/k/v, attn_q_norm, attn_k_norm, attn_output, ffn_norm, ffn_gate/up/down, with
//     rope.dimension_sections padded to four.
//   - token_embd has text_vocab_size rows fc2(silu(fc1(row))), with the projection folded in, and behind them those of the
//     codec embedding. Tokens are named likewise: the text's (padding is [PADn], unused), then <|codec_n|>, or the name of
//     the key in talker_config for those that have one. output is codec_head alone; the loader pads its logits.
//     eos_token_id is text_vocab_size + codec_eos_token_id; suppress_tokens are the codec's rows behind the codebook
//     except that one.
//   - The companion has architecture clip with projectors qwen3tts_spkenc and qwen3tts_gen, keys clip.audio.* and
//     clip.gen.audio.*, tensors a.gen.code.* (proj_in, embd and head stacked [15, rows, width], out_embd, output_norm,
//     blk.i.{ln1, attn_*, ln2, ffn_*}), a.conv1d.0, a.blk.1-3.*, a.conv_out, a.asp_*, mm.a.fc, and a.gen.wav.* with codebooks
//     divided by their usage and the exponentials of the Snake activations taken.
//   - The companion's converter makes convolutions of the codec F16 or F32; a file with all of them F32 has been loaded by
//     others' ports held to llama.cpp. We write F32.
//
// Checked by running: make interop has llama.cpp (as llama-cpp-python 0.3.36 has it) load a talker.gguf of random
// weights and compute logits, whose cosine with ours is above 0.999 row by row; its Q4_0 products round inputs to 8
// bits. One of the 1.7B's shapes was loaded and run once, too. Checked by reading the same version: every name and key
// of mmproj.gguf is one that tools/mtmd/clip.cpp asks for; proj_in, which the 0.6B has not, and a speaker encoder are
// optional there; built in are a codec vocabulary of 3072, a rope_theta of 1e6 of the code predictor, and the shapes of
// the codec's decoder. Export notes where a model departs from these.
//
// Not established: that llama.cpp runs mmproj.gguf (the library that does was not built here), with heads that are a
// stack of Q4_0 in three dimensions in particular; older versions, which insist on proj_in; and any of it on real weights.
//
// Folding cannot be undone, hence text.safetensors: import reads the text parts there and passes over token_embd and
// a.gen.wav.*. Two pairs of our own say what blocks do not, qakd.quantization_config and qakd.dtypes; llama.cpp passes
// unknown keys over. A pruned text vocabulary has no place in the format and is refused: the tokenizer in the file would
// give ids that have no rows.
package export
