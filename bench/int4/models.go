package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// sizes are those of the published checkpoints.
var sizes = []string{"1.7b", "0.6b"}

// dense and packed are the folders of checkpoints that make bench-int4 makes.
func (b *bench) dense(size string) string {
	return filepath.Join(b.o.models, "synth-"+size+"-voice")
}

func (b *bench) packed(size string) string { return b.dense(size) + "-int4" }

// voxModel is the file that vox-tts makes of a dense checkpoint.
func (b *bench) voxModel(size string) string { return b.dense(size) + ".q4full.tmod" }

// decoder is the shape of a stack of layers, for a GGUF file.
type decoder struct {
	name                                                  string
	hidden, layers, heads, kvHeads, headDim, inner, vocab int
}

// talkerShape has a size's talker; vocab is that of code 0.
func talkerShape(size string) decoder {
	d := decoder{name: "talker-" + size, hidden: 2048, layers: 28, heads: 16, kvHeads: 8, headDim: 128, inner: 6144, vocab: 3072}
	if size == "0.6b" {
		d.hidden, d.inner = 1024, 3072
	}
	return d
}

// predictorShape is that of both sizes' code predictors, whose heads are one here.
var predictorShape = decoder{name: "code-predictor", hidden: 1024, layers: 5, heads: 16, kvHeads: 8, headDim: 128, inner: 3072, vocab: 2048}

// gguf makes a decoder's GGUF file in bf16 and in Q4_0, if they are not there.
func (b *bench) gguf(ctx context.Context, d decoder) (bf16, q4 string, err error) {
	bf16, q4 = filepath.Join(b.o.models, d.name+"-bf16.gguf"), filepath.Join(b.o.models, d.name+"-q4_0.gguf")
	if err := os.MkdirAll(b.o.models, 0o755); err != nil {
		return "", "", err
	}
	if _, err := os.Stat(bf16); err != nil {
		fmt.Println("making", bf16)
		args := []string{filepath.Join(b.o.peers, "gguf_model.py"), "--out", bf16}
		for _, f := range []struct {
			name string
			v    int
		}{
			{"hidden", d.hidden}, {"layers", d.layers}, {"heads", d.heads}, {"kv-heads", d.kvHeads}, {"head-dim", d.headDim},
			{"inner", d.inner}, {"vocab", d.vocab},
		} {
			args = append(args, "--"+f.name, strconv.Itoa(f.v))
		}
		if out, err := exec.CommandContext(ctx, b.o.python, args...).CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("%s: %w: %s", bf16, err, out)
		}
	}
	if _, err := os.Stat(q4); err != nil {
		fmt.Println("making", q4)
		part := q4 + ".part"
		if _, err := b.peer(ctx, "llama.py").time(task{"stage": "quantize", "from": bf16, "to": part})(ctx); err != nil {
			return "", "", err
		}
		if err := os.Rename(part, q4); err != nil {
			return "", "", err
		}
	}
	return bf16, q4, nil
}
