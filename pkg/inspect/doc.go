// Package inspect looks into a talker's checkpoint folder: float, fake-quantized student, or packed.
//
// A view is one way to look; its result is a struct that marshals to one JSON object and prints as tables:
//
//	c, err := inspect.Open("Qwen3-TTS-12Hz-0.6B-Base")
//	...
//	view, err := inspect.Find("layers")
//	...
//	result, err := view.Look(c, inspect.Options{})
//	for _, t := range result.Tables() {
//		err = t.Text(os.Stdout)
//	}
//
// The views model, structure, layers, head and vocab know what headers and JSON files say: they cost as much for 4 GB as
// for 4 MB, and work where tensor data is not there yet. The view quant reads scales, and weights only to compare them
// with a teacher's; forward loads the model and runs it.
//
// A checkpoint has two vocabularies, which have nothing to do with each other: the text tokenizer's (151,936 rows in the
// published models) and the codec's (3,072 rows: the codes of codebook 0, then control ids, languages and speakers).
package inspect
