package qat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
)

// SaveOptions of SaveCheckpoint and SaveStudent.
type SaveOptions struct {
	// Source is the float checkpoint folder that the model came from: the dtypes of what stays float, and everything
	// that is carried over.
	Source string
}

// SaveResult says what a saved folder holds.
type SaveResult struct {
	Layers         int      `json:"layers"`          // quantized
	Tables         int      `json:"tables"`          // quantized embeddings; they count in Bytes alone
	Weights        int64    `json:"weights"`         // in them
	QuantizedBytes int64    `json:"quantized_bytes"` // codes, scales, zero points
	BitsPerWeight  float64  `json:"bits_per_weight"`
	Bytes          int64    `json:"bytes"`   // of the whole folder
	Carried        []string `json:"carried"` // files copied from the source
	CarriedTensors []string `json:"carried_tensors"`
	// Missing is what a complete text-to-speech checkpoint has and the source had not; TalkerOnly says that it had none
	// of speech tokenizer and text tokenizer.
	Missing    []string `json:"missing"`
	TalkerOnly bool     `json:"talker_only"`
}

// SaveCheckpoint writes m, whose slots are quantized in part or in whole, as a compressed-tensors checkpoint folder (see
// the package comment); an existing folder is replaced. Fake-quantized layers are packed on the way, and m can train on.
// A converted model is made equal to what is written: a float parameter that the source's dtype does not hold exactly
// is rounded in m too, so that the reloaded model gives the same logits, bit for bit.
func SaveCheckpoint(dir string, m nn.Module, opt SaveOptions) (*SaveResult, error) {
	src, err := openSource(opt.Source)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if len(prepared(m)) == 0 {
		if err := src.round(m); err != nil {
			return nil, err
		}
	}
	res := &SaveResult{}
	tensors, layers, tables, done, err := checkpointTensors(m, src.dtype, res)
	if err != nil {
		return nil, err
	}
	defer done()
	if len(layers)+len(tables) == 0 {
		return nil, errors.New("qat: save: nothing is quantized; prepare the model first")
	}
	carried, err := src.unknownTo(m)
	if err != nil {
		return nil, err
	}
	for _, t := range carried {
		res.CarriedTensors = append(res.CarriedTensors, t.Name)
	}
	cfg, err := src.packedConfig(m, layers, tables, carried)
	if err != nil {
		return nil, err
	}
	err = fsx.ReplaceDir(dir, func(tmp string) error {
		if res.Carried, err = carryFiles(tmp, opt.Source, true); err != nil {
			return err
		}
		src.missing(res)
		if err := writeNote(tmp, res.Missing); err != nil {
			return err
		}
		if err := ckpt.Write(filepath.Join(tmp, "model.safetensors"), append(tensors, carried...), fileMetadata); err != nil {
			return err
		}
		return fsx.WriteBytes(filepath.Join(tmp, "config.json"), cfg) // last: a folder with it is complete
	})
	if err != nil {
		return nil, fmt.Errorf("qat: save %s: %w", dir, err)
	}
	res.Bytes, err = fsx.DirSize(dir)
	return res, err
}

// checkpointTensors are the tensors of m in their packed form; dtype gives that of the others ("": as in memory). done
// frees what was packed for them.
func checkpointTensors(m nn.Module, dtype func(name string) string, res *SaveResult) (list []ckpt.Tensor, layers, tables []LayerPlan, done func(), err error) {
	var frees []func()
	done = func() {
		for _, f := range frees {
			f()
		}
	}
	for _, s := range nn.Slots(m) {
		p, ok := layerPlan(s)
		if !ok {
			continue
		}
		tensors, free, err := packedTensors(s)
		if err != nil {
			done()
			return nil, nil, nil, nil, err
		}
		frees, list, layers = append(frees, free), append(list, tensors...), append(layers, p)
		res.Layers++
		res.Weights += p.Params
		res.QuantizedBytes += p.BytesAfter
	}
	for _, e := range nn.Embeddings(m) {
		p, ok := tablePlan(e)
		if !ok {
			continue
		}
		tensors, free, err := packedTable(e)
		if err != nil {
			done()
			return nil, nil, nil, nil, err
		}
		frees, list, tables = append(frees, free), append(list, tensors...), append(tables, p)
		res.Tables++
	}
	res.BitsPerWeight = 8 * float64(res.QuantizedBytes) / float64(max(res.Weights, 1))
	for _, p := range restParams(m) {
		t, err := nn.Stored(p, savedDType(p, dtype(p.Name)))
		if err != nil {
			done()
			return nil, nil, nil, nil, err
		}
		list = append(list, t)
	}
	return list, layers, tables, done, nil
}

// savedDType is the dtype that a float parameter is written in: the source's, unless that has none or the parameter has its
// own; "" where p is not loaded and nothing else tells.
func savedDType(p *nn.Param, source string) string {
	if source != "" && p.DType == "" {
		return source
	}
	if p.T == nil {
		return ""
	}
	return nn.DTypeName(p.T.DType())
}

func writeNote(dir string, missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	text := "The checkpoint that this folder was made from has no\n  " + strings.Join(missing, "\n  ") +
		"\nso this one has none either: it generates speech codes, not sound, from token ids.\n"
	return fsx.WriteBytes(filepath.Join(dir, noteFile), []byte(text))
}

// SaveLayers writes named layers (see [Layers]; any module with quantized slots will do) as model.safetensors with a
// config.json that holds their quantization_config. An existing folder is replaced.
func SaveLayers(dir string, m nn.Module) (*SaveResult, error) {
	res := &SaveResult{}
	tensors, layers, tables, done, err := checkpointTensors(m, func(string) string { return "" }, res)
	if err != nil {
		return nil, err
	}
	defer done()
	var kept []string
	for _, s := range nn.Slots(m) {
		if _, ok := layerPlan(s); !ok {
			kept = append(kept, s.Path)
		}
	}
	if len(layers) == 0 {
		return nil, errors.New("qat: save: no layer is quantized")
	}
	cfg, err := json.MarshalIndent(map[string]any{"quantization_config": newQuantizationConfig(layers, tables, kept, Rotations(m))}, "", "  ")
	if err != nil {
		return nil, err
	}
	err = fsx.ReplaceDir(dir, func(tmp string) error {
		if err := ckpt.Write(filepath.Join(tmp, "model.safetensors"), tensors, fileMetadata); err != nil {
			return err
		}
		return fsx.WriteBytes(filepath.Join(tmp, "config.json"), append(cfg, '\n'))
	})
	if err != nil {
		return nil, fmt.Errorf("qat: save %s: %w", dir, err)
	}
	res.Bytes, err = fsx.DirSize(dir)
	return res, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
