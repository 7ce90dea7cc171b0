// Package qat makes a model quantization-aware, trains nothing itself, and writes the packed result.
//
// # Float, fake-quantized, packed
//
// A projection goes through three forms, each swapped into its slot by path:
//
//	*nn.Linear --Prepare--> *Linear --Convert--> *Packed
//
// [Linear] keeps the float32 master weight and computes with its quantized value (package quant), so that training sees
// what the packed layer will do. [Packed] holds the codes; its dequantize path gives the same bits. [NewPlan] says what
// Prepare would do without touching a weight; [SetQParams] and [SetInputScales] take what calibration found.
//
//	plan, err := qat.Prepare(model, qat.DefaultConfig())
//	... calibrate, train nn.Params(model) ...
//	err = qat.Convert(model)
//	result, err := qat.SaveCheckpoint("student-int4", model, qat.SaveOptions{Source: "teacher"})
//
// Which layers: [Config] has include and exclude patterns on full paths. A pattern is split at its dots; "**" stands for
// any number of segments (none too), any other segment is matched like a file name with *, ? and [a-z]. So
// "talker.model.layers.*.self_attn.*_proj", "**.mlp.*" and "talker.**" are patterns. Overrides give the layers that they
// match another scheme, the first match counts; each distinct scheme becomes one config group of the saved file.
//
// # Embedding tables
//
// With Config.Embeddings.Bits of 8 or 4, tables that its patterns name are quantized too, weights only, symmetric, with a
// scale for each row or for each group of a row; overrides give some of them other bits or groups. [Embedding] computes the
// rows that are looked up, with straight-through gradients to masters and scales; [PackedEmbedding] dequantizes them. Both give
// the same bits. They go through Prepare, Convert, SaveCheckpoint, SaveStudent and FromCheckpoint as projections do.
//
// # Size
//
// [Contents] lists, without writing it, what the packed model.safetensors of a plan holds, and [FileSize] says how large it is.
//
// # Any gotch model
//
// [FromFloat] also takes gotch's own nn.Linear and copies its weight. [Gotch] turns the result into gotch's ts.Module,
// [Trainable] lists the leaves to give to an optimizer, [Layers] collects named layers so that Convert and [SaveLayers]
// can work on them; [LoadLayers] reads them back. Nothing else of this module is needed.
//
// # The packed checkpoint
//
// [SaveCheckpoint] writes a whole checkpoint folder in the compressed-tensors pack-quantized layout. A quantized layer
// becomes
//
//	<path>.weight_packed      I32 [out, ceil(in/8)]     (4 codes a word for 8 bits)
//	<path>.weight_scale       BF16 [out, groups], [out, 1] or [1]; on the scale grid, so exact in fp16 too
//	<path>.weight_shape       I64 [2] = out, in
//	<path>.weight_zero_point  I32 [ceil(out/8), groups], asymmetric only; I8 [1] per tensor
//	<path>.input_scale        BF16 [1], static activations only
//
// and so does a quantized embedding, [rows, width] in the place of [out, in], whose config groups are named
// "embedding_0" and so on and target its path. The other tensors keep the dtype of the source, config.json gets a
// quantization_config, every other file of the source comes along, and tensors that the model does not know (speaker_encoder.*) are copied as they are. A source without
// speech tokenizer, text tokenizer or speaker encoder is reported in the result and in NOTE.txt. The folder appears
// complete or not at all.
//
// # The fake-quantized student
//
// [SaveStudent] writes a folder from which training can go on: config.json of the source as it is, model.safetensors and
// qat.json. model.safetensors has, per quantized layer, the masters in F32
//
//	<path>.weight             [out, in]
//	<path>.weight_scale       [rows, groups]: [1, 1] per tensor, [out, 1] per channel, [out, in/group] per group
//	<path>.weight_quant_scale as weight_scale, with dual_lsq only: the scale that quantizes, weight_scale dequantizes
//	<path>.weight_zero_point  as weight_scale, asymmetric only
//	<path>.input_scale        [1], static activations only, once calibrated (else the layer is "uncalibrated" in qat.json)
//
// and every other tensor in the source's dtype where that loses nothing, else in its own. qat.json is
//
//	{"format": 1, "layers": [{"path": ..., "weight": {"bits": 4, "symmetric": true, "granularity": "per_group",
//	  "group_size": 32}, "activation": {"bits": 8, "mode": "dynamic_token"}, "learn_scales": true, "lsq_gradient": false}]}
//
// with "tables" likewise for embeddings, "rotations" as below, and with "dual_lsq", "integer_forward" and "bf16_backward" where they are true
// ([Config]).
//
// # Rotations
//
// A rotated model (package calib) computes some rotations as it runs, [Rotations]: they are part of the folder, qat.json of a
// student, the key transform_config of a packed checkpoint's quantization_config:
//
//	{"format": "qakd-hadamard-1", "rotations": [{"path": "talker.model", "block": 2048, "seed": 1}, ...]}
//
// with a decoder's path for its residual stream and a projection's for its input. Loaders of compressed-tensors know other
// schemas under this key, and so refuse the folder; FromCheckpoint refuses theirs.
//
// The effective scale is the master rounded to the grid of package quant, the effective zero point the master rounded
// and clamped.
//
// # Loading
//
// [FromCheckpoint] looks into a folder and swaps the slots that it names, for either form, before [nn.Load] fills them
// strictly. A folder that is neither is a float checkpoint and changes nothing. Activation quantization is honoured.
package qat
