package export

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	code := m.Run()
	if small.dir != "" {
		os.RemoveAll(small.dir)
	}
	os.Exit(code)
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// small is the folder of a talker of random weights in bf16, with everything that a checkpoint has but sound: settings of
// the demo teacher, a text tokenizer, a speaker encoder. Its widths are multiples of 64 and, in the talker, of 128.
var small struct {
	once sync.Once
	dir  string
	err  error
}

func smallTeacher(t testing.TB) string {
	t.Helper()
	small.once.Do(func() {
		if small.dir, small.err = os.MkdirTemp("", "export-test-"); small.err == nil {
			small.err = writeSmall(small.dir)
		}
	})
	return must(small.dir, small.err)(t)
}

func writeSmall(dir string) error {
	if err := demo.WriteSettings(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "speech_tokenizer")); err != nil {
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
	t := config["talker_config"].(map[string]any)
	for k, v := range map[string]int{"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "text_hidden_size": 128} {
		t[k] = v
	}
	cp := t["code_predictor_config"].(map[string]any)
	for k, v := range map[string]int{"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1} {
		cp[k] = v
	}
	if raw, err = json.Marshal(config); err != nil {
		return err
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		return err
	}
	cfg, err := talker.ParseConfig(raw)
	if err != nil {
		return err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	var list []ckpt.Tensor
	add := func(name string, shape ...int64) {
		list = append(list, ckpt.Tensor{Name: name, DType: "BF16", Shape: shape, Stream: func(w io.Writer) error {
			n := int64(1)
			for _, d := range shape {
				n *= d
			}
			var b []byte
			for range n {
				b = binary.LittleEndian.AppendUint16(b, uint16(math.Float32bits(float32(rnd.NormFloat64())*0.05)>>16))
			}
			_, err := w.Write(b)
			return err
		}})
	}
	for _, p := range nn.Params(m) {
		add(p.Name, p.Shape...)
	}
	for _, p := range speakerParts() {
		add("speaker_encoder."+p[0]+".weight", 2, 4, 3)
		add("speaker_encoder."+p[0]+".bias", 2)
	}
	return ckpt.Write(filepath.Join(dir, "model.safetensors"), list, nil)
}

// packed makes a packed checkpoint of a small talker, and returns the fake-quantized weights that it was made from, by
// path. adjust may change the scales that the weights ask for.
func packed(t testing.TB, change func(*qat.Config), adjust func(quant.QParams)) (dir string, fake map[string][]float32) {
	t.Helper()
	return packedFrom(t, smallTeacher(t), change, adjust)
}

func packedFrom(t testing.TB, teacher string, change func(*qat.Config), adjust func(quant.QParams)) (dir string, fake map[string][]float32) {
	t.Helper()
	m := must(talker.Load(teacher, talker.Options{}))(t)
	defer m.Close()
	cfg := qat.DefaultConfig()
	cfg.Activation = quant.ActivationScheme{}
	if change != nil {
		change(&cfg)
	}
	plan := must(qat.Prepare(m, cfg))(t)
	fake = map[string][]float32{}
	err := nn.Run(func(c *nn.Context) error {
		for _, s := range plan.Slots(m) {
			l := s.P.(*qat.Linear)
			if adjust != nil {
				p, err := l.QParams()
				if err != nil {
					return err
				}
				adjust(p)
				if err := qat.SetQParams(m, map[string]quant.QParams{s.Path: p}); err != nil {
					return err
				}
			}
			w, err := tensor.Floats(l.Weight(c))
			if err != nil {
				return err
			}
			fake[s.Path] = w
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]float32{}
	for _, l := range plan.Layers {
		if l.Activation.Mode == quant.StaticTensor {
			inputs[l.Path] = 0.125
		}
	}
	if len(inputs) > 0 {
		if err := qat.SetInputScales(m, inputs); err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(t.TempDir(), "packed")
	must(qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: teacher}))(t)
	return dir, fake
}
