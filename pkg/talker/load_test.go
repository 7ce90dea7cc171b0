package talker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// contents is a fixture's tensors by name, in memory.
func contents(t *testing.T, fixture string) map[string]ckpt.Tensor {
	t.Helper()
	src, err := ckpt.Open(filepath.Join("testdata", fixture, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	out := map[string]ckpt.Tensor{}
	for _, info := range src.Infos() {
		_, data, err := src.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[info.Name] = ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: bytes.Clone(data)}
	}
	return out
}

// folder writes a checkpoint of tensors in n files.
func folder(t *testing.T, config []byte, tensors map[string]ckpt.Tensor, n int) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), config)
	names := slices.Sorted(maps.Keys(tensors))
	places := map[string]string{}
	for i := range n {
		file := "model.safetensors"
		if n > 1 {
			file = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n)
		}
		var shard []ckpt.Tensor
		for _, name := range names[i*len(names)/n : (i+1)*len(names)/n] {
			shard, places[name] = append(shard, tensors[name]), file
		}
		if err := ckpt.Write(filepath.Join(dir, file), shard, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n > 1 {
		index, err := json.Marshal(map[string]any{"weight_map": places})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "model.safetensors.index.json"), index)
	}
	return dir
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// stored rounds a float32 tensor to dtype.
func stored(t *testing.T, x ckpt.Tensor, dtype string) ckpt.Tensor {
	t.Helper()
	to, err := nn.DTypeOf(dtype)
	if err != nil {
		t.Fatal(err)
	}
	err = tensor.Run(func(s *tensor.Scope) error {
		f, err := tensor.New(gotch.Float, x.Shape, x.Data)
		if err != nil {
			return err
		}
		x.Data, err = tensor.Bytes(s.To(s.Own(f), to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	x.DType = dtype
	return x
}

// parameters of a model as float32, by name.
func parameters(t *testing.T, dir string, dtype gotch.DType) map[string][]float32 {
	t.Helper()
	m, err := Load(dir, Options{DType: dtype})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	out := map[string][]float32{}
	for _, p := range nn.Params(m) {
		if p.T.DType() != dtype {
			t.Errorf("%s is %v, want %v", p.Name, p.T.DType(), dtype)
		}
		if out[p.Name], err = tensor.Floats(p.T); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// One checkpoint in every form that it may come in: one file or several, the dtypes that files have, mixed too, with the
// speaker encoder (whose tensors are never read: they hold NaN here) or without, saved alone or inside the model.
func TestLoadForms(t *testing.T) {
	const fixture = "tiny-f32"
	config := edited(t, fixture, nil)
	var top map[string]json.RawMessage
	if err := json.Unmarshal(config, &top); err != nil {
		t.Fatal(err)
	}
	published := edited(t, fixture, map[string]any{"talker_config.text_vocab_size": 151936})
	if err := json.Unmarshal(published, &top); err != nil {
		t.Fatal(err)
	}
	alone := []byte(top["talker_config"])

	dtypes := []string{"F32", "BF16", "F16"}
	forms := map[string]func(i int, x ckpt.Tensor) ckpt.Tensor{
		"F32":   func(_ int, x ckpt.Tensor) ckpt.Tensor { return x },
		"BF16":  func(_ int, x ckpt.Tensor) ckpt.Tensor { return stored(t, x, "BF16") },
		"F16":   func(_ int, x ckpt.Tensor) ckpt.Tensor { return stored(t, x, "F16") },
		"mixed": func(i int, x ckpt.Tensor) ckpt.Tensor { return stored(t, x, dtypes[i%3]) },
	}
	original := contents(t, fixture)
	for form, convert := range forms {
		inside, bare := map[string]ckpt.Tensor{}, map[string]ckpt.Tensor{}
		want := map[string][]float32{}
		for i, name := range slices.Sorted(maps.Keys(original)) {
			x := original[name]
			if foreign(name) {
				for k := 0; k < len(x.Data); k += 4 {
					binary.LittleEndian.PutUint32(x.Data[k:], math.Float32bits(float32(math.NaN())))
				}
				inside[name] = x
				continue
			}
			x = convert(i, x)
			inside[name] = x
			want[name] = widened(t, x)
			short := x
			short.Name = strings.TrimPrefix(name, "talker.")
			bare[short.Name] = short
		}
		talkerOnly := maps.Clone(inside)
		maps.DeleteFunc(talkerOnly, func(name string, _ ckpt.Tensor) bool { return foreign(name) })
		for name, dir := range map[string]string{
			"one file":         folder(t, config, inside, 1),
			"five files":       folder(t, config, inside, 5),
			"talker only":      folder(t, config, talkerOnly, 1),
			"names without":    folder(t, config, bare, 1),
			"names without, 3": folder(t, config, bare, 3),
		} {
			equal(t, form+", "+name, parameters(t, dir, gotch.Float), want)
		}
		if form == "F32" {
			aloneDir := folder(t, alone, grown(bare), 1)
			m, err := Load(aloneDir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if c := m.Config; c.PadText != 151671 || c.Type != "base" || c.Talker.Hidden != 64 {
				t.Errorf("saved alone: pad %d, type %s, hidden %d, want the published ids around it", c.PadText, c.Type, c.Talker.Hidden)
			}
			m.Close()
		}
		parameters(t, folder(t, config, inside, 1), gotch.BFloat16) // looks at the dtypes
	}
}

// grown has as many text embeddings as the published ids need.
func grown(tensors map[string]ckpt.Tensor) map[string]ckpt.Tensor {
	out := maps.Clone(tensors)
	e := out["model.text_embedding.weight"]
	row := len(e.Data) / int(e.Shape[0])
	e.Shape = []int64{151936, e.Shape[1]}
	e.Data = append(e.Data, make([]byte, 151936*row-len(e.Data))...)
	out["model.text_embedding.weight"] = e
	return out
}

func widened(t *testing.T, x ckpt.Tensor) []float32 {
	t.Helper()
	dtype, err := nn.DTypeOf(x.DType)
	if err != nil {
		t.Fatal(err)
	}
	w, err := tensor.New(dtype, x.Shape, x.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Drop()
	out, err := tensor.Floats(w)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t *testing.T, what string, have, want map[string][]float32) {
	t.Helper()
	if len(have) != len(want) {
		t.Errorf("%s: %d parameters, want %d", what, len(have), len(want))
	}
	for name := range want {
		if !slices.Equal(have[name], want[name]) {
			t.Errorf("%s: %s differs from the file", what, name)
		}
	}
}
