package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/export"
	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// llama makes what llama.cpp is to run: a talker of random weights with the codec vocabulary that llama.cpp has built in,
// packed and exported, and its logits as our talker computes them, for a row of tokens that are each other's context.
func llama(dir string) (job, error) {
	j := job{Case: "random talker, int4 sym g32", Format: "llama.cpp", Dir: filepath.Join(dir, "gguf"), Dense: filepath.Join(dir, "logits")}
	teacher, packed := filepath.Join(dir, "teacher"), filepath.Join(dir, "packed")
	if err := randomTalker(teacher); err != nil {
		return j, err
	}
	if err := pack(packed, teacher, func(*qat.Config) {}, nil); err != nil {
		return j, err
	}
	if _, err := export.Export(packed, j.Dir, export.Options{Format: "gguf"}); err != nil {
		return j, err
	}
	m, err := talker.Load(packed, talker.Options{Swap: func(m *talker.Model, dir string) error { return qat.FromCheckpoint(m, dir) }})
	if err != nil {
		return j, err
	}
	defer m.Close()
	return j, logits(m, filepath.Join(j.Dir, "talker.gguf"), j.Dense)
}

// logits writes ids of the joint vocabulary and our logits for them. Rows are those of the file's table, so that the table's
// rounding is not part of the difference.
func logits(m *talker.Model, file, out string) error {
	f, err := gguf.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	H, V, text := m.Config.Talker.Hidden, m.Config.Talker.Vocab, m.Config.Talker.TextVocab
	rnd := rand.New(rand.NewPCG(5, 6))
	var ids, shown []byte
	var rows []float32
	const T = 24
	for i := range T {
		id := rnd.Int64N(text)
		if i >= T/2 {
			id = text + rnd.Int64N(V)
		}
		ids = binary.LittleEndian.AppendUint32(ids, uint32(id))
		row := make([]byte, 2*H)
		if err := f.ReadAt(row, "token_embd.weight", id*2*H); err != nil {
			return err
		}
		for k := range H {
			rows = append(rows, math.Float32frombits(uint32(binary.LittleEndian.Uint16(row[2*k:]))<<16))
		}
	}
	err = nn.Run(func(c *nn.Context) (err error) {
		nn.NoGrad(func() {
			mask := make([]int64, T)
			for i := range mask {
				mask[i] = 1
			}
			h := m.Hidden(c, c.FromFloats(rows, 1, T, H), m.ViewOf(c, mask, 1, T), nil)
			var y []float32
			if y, err = tensor.Floats(m.CodecHead.Forward(c, h)); err == nil {
				for _, v := range y {
					shown = binary.LittleEndian.AppendUint32(shown, math.Float32bits(v))
				}
			}
		})
		return err
	})
	if err != nil {
		return err
	}
	return ckpt.Write(out, []ckpt.Tensor{
		{Name: "ids", DType: "I32", Shape: []int64{T}, Data: ids}, {Name: "logits", DType: "F32", Shape: []int64{T, V}, Data: shown},
	}, nil)
}

// randomTalker writes a checkpoint of the demo's settings with two layers, 3072 codec rows and random weights in bf16.
func randomTalker(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := demo.WriteSettings(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return err
	}
	t, ok := config["talker_config"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s: no talker_config", path)
	}
	t["vocab_size"], t["num_hidden_layers"] = 3072, 2
	if raw, err = json.Marshal(config); err != nil {
		return err
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		return err
	}
	cfg, err := talker.ReadConfig(dir)
	if err != nil {
		return err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var list []ckpt.Tensor
	for _, p := range nn.Params(m) {
		data := make([]byte, 0, 2*p.NumElements())
		for range p.NumElements() {
			x := rnd.NormFloat64() * 0.06
			if len(p.Shape) == 1 {
				x += 1 // norms, and biases that do no harm
			}
			data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(float32(x))>>16))
		}
		list = append(list, ckpt.Tensor{Name: p.Name, DType: "BF16", Shape: p.Shape, Data: data})
	}
	return ckpt.Write(filepath.Join(dir, "model.safetensors"), list, nil)
}
