package calib_test

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/ckpt"
)

// A file that was tampered with, or is something else, is an error that says what is wrong; nothing is filled in.
func TestLoadRefuses(t *testing.T) {
	m := load(t)
	path := filepath.Join(t.TempDir(), calib.FileName)
	r := fit(t, m, collect(t, m, config(), inputs(15, 1, 10)), w4a4, config())
	if err := r.Save(path, calib.Origin{}); err != nil {
		t.Fatal(err)
	}
	src, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	meta := src.Metadata()
	var tensors []ckpt.Tensor
	for _, info := range src.Infos() {
		_, data, err := src.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: slices.Clone(data)})
	}
	find := func(name string) *ckpt.Tensor {
		return &tensors[slices.IndexFunc(tensors, func(x ckpt.Tensor) bool { return x.Name == name })]
	}
	bits := func(v float32) []byte { return binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)) }
	for want, spoil := range map[string]func(){
		"missing model.mlp.up_proj.input_scale": func() {
			find("model.mlp.up_proj.input_scale").Name = "model.mlp.up_proj.output_scale"
		},
		"model.mlp.down_proj.weight_scale: shape [96 2], want [64 3]": func() { find("model.mlp.down_proj.weight_scale").Shape = []int64{96, 2} },
		"model.mlp.gate_proj: quant: scale [0, 0] is 0.1,":            func() { copy(find("model.mlp.gate_proj.weight_scale").Data, bits(0.1)) },
		"model.mlp.gate_proj: input scale NaN":                        func() { copy(find("model.mlp.gate_proj.input_scale").Data, bits(float32(math.NaN()))) },
		`no "calibration" in the metadata`:                            func() { meta = nil },
		"format 3, want 2": func() {
			meta = map[string]string{"calibration": strings.Replace(meta["calibration"], `"format":2`, `"format":3`, 1)}
		},
		"metadata: unexpected end": func() { meta = map[string]string{"calibration": "{"} },
	} {
		keptMeta, kept := meta, slices.Clone(tensors)
		for i := range tensors {
			tensors[i].Data = slices.Clone(tensors[i].Data)
		}
		spoil()
		bad := filepath.Join(t.TempDir(), "bad.safetensors")
		if err := ckpt.Write(bad, tensors, meta); err != nil {
			t.Fatal(err)
		}
		if _, err := calib.Load(bad, calib.Origin{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("error %v, want one with the path and %q", err, want)
		}
		meta, tensors = keptMeta, kept
	}
	if _, err := calib.Load(filepath.Join(t.TempDir(), "none.safetensors"), calib.Origin{}); err == nil {
		t.Error("loaded a file that is not there")
	}
}
