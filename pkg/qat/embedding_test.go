package qat_test

import (
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
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
)

// tables is a model of two embeddings and a projection.
type tables struct {
	text, codec *nn.Embedding
	head        *nn.Slot
}

func newTables() *tables {
	return &tables{nn.NewEmbedding("model.text_embedding", 37, 64), nn.NewEmbedding("model.codec_embedding", 11, 64), nn.NewSlot("model.head", 64, 8, false)}
}

func (m *tables) Visit(v nn.Visitor) {
	m.text.Visit(v)
	m.codec.Visit(v)
	m.head.Visit(v)
}

func tablesTeacher(t *testing.T) string {
	t.Helper()
	m := newTables()
	if err := nn.Init(m, 3, 0.2); err != nil {
		t.Fatal(err)
	}
	defer nn.Close(m)
	dir := t.TempDir()
	if err := nn.Save(filepath.Join(dir, "model.safetensors"), m, "BF16", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func loadTables(t *testing.T, dir string) *tables {
	t.Helper()
	m := newTables()
	if err := qat.FromCheckpoint(m, dir); err != nil {
		t.Fatal(err)
	}
	src := must(ckpt.Open(dir))(t)
	defer src.Close()
	if err := nn.Load(m, src, nn.LoadOptions{DType: gotch.Float, Device: gotch.CPU}); err != nil {
		t.Fatal(err)
	}
	return m
}

// looked up rows of both tables; ids repeat.
func rows(t *testing.T, m *tables) (out []float32) {
	t.Helper()
	run(t, func(c *nn.Context) error {
		for _, e := range []*nn.Embedding{m.text, m.codec} {
			v, err := tensor.Floats(e.Forward(c, c.FromInts([]int64{0, 10, 3, 10, 7, 9}, 2, 3)))
			if err != nil {
				return err
			}
			out = append(out, v...)
		}
		return nil
	})
	return out
}

func embeddingConfig(bits int, group int64) qat.Config {
	c := qat.DefaultConfig()
	c.Embeddings.Bits, c.Embeddings.GroupSize = bits, group
	return c
}

// Rows of a fake-quantized table = converted = saved and reloaded = pkg/quant's own value, bit for bit.
func TestEmbeddingForms(t *testing.T) {
	dir := tablesTeacher(t)
	for _, bits := range []int{4, 8} {
		for _, group := range []int64{0, 32} {
			what := fmt.Sprintf("%d bits, groups of %d", bits, group)
			m := loadTables(t, dir)
			float := must(tensor.Floats(m.text.W.T))(t)
			plan := must(qat.Prepare(m, embeddingConfig(bits, group)))(t)
			if len(plan.Tables) != 2 || len(plan.Layers) != 1 || plan.Tables[0].Out != 37 || plan.Tables[0].In != 64 {
				t.Fatalf("%s: plan %+v", what, plan)
			}
			want := rows(t, m)
			sch := plan.Tables[0].Weight
			q := must(quant.InitQParams(float, 37, 64, sch, quant.SignedMax))(t)
			naive := must(quant.FakeQuantize(float, 37, 64, q, sch))(t)
			for i, id := range []int{0, 10, 3, 10, 7, 9} {
				sameBits(t, what+": naive", want[i*64:(i+1)*64], naive[id*64:(id+1)*64])
			}

			student, packed := filepath.Join(t.TempDir(), "student"), filepath.Join(t.TempDir(), "packed")
			if err := qat.SaveStudent(student, m, qat.SaveOptions{Source: dir}); err != nil {
				t.Fatal(err)
			}
			early := filepath.Join(t.TempDir(), "early")
			must(qat.SaveCheckpoint(early, m, qat.SaveOptions{Source: dir}))(t)
			sameBits(t, what+": after saving", rows(t, m), want)
			if err := qat.Convert(m); err != nil {
				t.Fatal(err)
			}
			sameBits(t, what+": converted", rows(t, m), want)
			res := must(qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: dir}))(t)
			if res.Tables != 2 || res.Layers != 1 || !sameFile(t, early, packed, "model.safetensors") {
				t.Errorf("%s: %+v, or a converted model is saved otherwise", what, res)
			}
			for kind, dir := range map[string]string{"student": student, "packed": packed} {
				again := loadTables(t, dir)
				sameBits(t, what+": reloaded "+kind, rows(t, again), want)
				nn.Close(again)
				f := must(qat.Describe(dir))(t)
				if f.Kind != kind || len(f.Tables) != 2 || len(f.Layers) != 1 || f.Tables[0].Weight != sch {
					t.Errorf("%s: %s is described as %+v", what, kind, f)
				}
			}
			nn.Close(m)
		}
	}
}

// What a packed checkpoint says of its tables: tensors, and a group in config.json that names them.
func TestEmbeddingFolder(t *testing.T) {
	dir, packed := tablesTeacher(t), filepath.Join(t.TempDir(), "packed")
	m := loadTables(t, dir)
	defer nn.Close(m)
	c := embeddingConfig(8, 0)
	c.Embeddings.Include = []string{"**.text_embedding"}
	must(qat.Prepare(m, c))(t)
	must(qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: dir}))(t)
	src := must(ckpt.Open(packed))(t)
	defer src.Close()
	have := map[string]string{}
	for _, i := range src.Infos() {
		have[i.Name] = fmt.Sprint(i.DType, i.Shape)
	}
	want := map[string]string{
		"model.text_embedding.weight_packed": "I32[37 16]", "model.text_embedding.weight_scale": "BF16[37 1]", "model.text_embedding.weight_shape": "I64[2]",
		"model.codec_embedding.weight": "BF16[11 64]",
		"model.head.weight_packed":     "I32[8 8]", "model.head.weight_scale": "BF16[8 2]", "model.head.weight_shape": "I64[2]",
	}
	if !maps.Equal(have, want) {
		t.Errorf("tensors %v, want %v", have, want)
	}
	var cfg struct {
		Q struct {
			Groups map[string]struct {
				Targets []string
				Weights struct {
					NumBits  int `json:"num_bits"`
					Strategy string
				}
			} `json:"config_groups"`
		} `json:"quantization_config"`
	}
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(packed, "config.json")))(t), &cfg); err != nil {
		t.Fatal(err)
	}
	g := cfg.Q.Groups["embedding_0"]
	if len(cfg.Q.Groups) != 2 || !slices.Equal(g.Targets, []string{"model.text_embedding"}) || g.Weights.NumBits != 8 || g.Weights.Strategy != "channel" {
		t.Errorf("groups %+v, want one of 8 bits a row for the text", cfg.Q.Groups)
	}
}

// The gradient of a looked-up row is straight-through: of weights the sum over the look-ups where the code is in range,
// of scales what pkg/quant says; rows that nobody looked up have none.
func TestEmbeddingGradient(t *testing.T) {
	m := loadTables(t, tablesTeacher(t))
	defer nn.Close(m)
	must(qat.Prepare(m, embeddingConfig(4, 32)))(t)
	e := m.text.T.(*qat.Embedding)
	run(t, func(c *nn.Context) error { // rows 0 and 1 get scales that clip
		p := e.Scale
		half := c.MulScalar(c.Detach(p.T), 0.5)
		p.Set(c.Release(half))
		return tensor.RequireGrad(p.T, true)
	})
	w, s := must(tensor.Floats(e.W.T))(t), must(tensor.Floats(e.Scale.T))(t)
	up := make([]float32, 3*64)
	for i := range up {
		up[i] = float32(i%7) - 2.5
	}
	ids := []int64{5, 0, 5}
	var gw, gs []float32
	run(t, func(c *nn.Context) error {
		y := c.Sum(c.Mul(m.text.Forward(c, c.FromInts(ids, 3)), c.FromFloats(up, 3, 64)))
		if err := tensor.Backward(y); err != nil {
			return err
		}
		gw = must(tensor.Floats(c.Gradient(e.W.T)))(t)
		gs = must(tensor.Floats(c.Gradient(e.Scale.T)))(t)
		return nil
	})
	wantW, wantS := make([]float32, len(w)), make([]float64, len(s))
	for k, id := range ids {
		for j := range int64(64) {
			at, g := id*64+j, id*2+j/32
			scale := quant.RoundScale(s[g])
			exact := w[at] / scale
			code := float32(math.RoundToEven(float64(exact)))
			u := up[int64(k)*64+j]
			if code >= -8 && code <= 7 {
				wantW[at] += u
				wantS[g] += float64(u * (code - exact))
			} else {
				wantS[g] += float64(u * min(max(code, -8), 7))
			}
		}
	}
	clipped := 0
	for i := range w {
		if gw[i] != wantW[i] {
			t.Fatalf("gradient of weight %d is %v, want %v", i, gw[i], wantW[i])
		}
		if id := i / 64; (id == 0 || id == 5) && wantW[i] == 0 {
			clipped++
		}
	}
	if clipped == 0 {
		t.Error("no weight was out of range: the test proves nothing about clipping")
	}
	for i := range s {
		if d := math.Abs(float64(gs[i]) - wantS[i]); d > 1e-4*(1+math.Abs(wantS[i])) {
			t.Errorf("gradient of scale %d is %v, want %v", i, gs[i], wantS[i])
		}
	}
}

func TestEmbeddingConfig(t *testing.T) {
	m := newTables()
	for want, edit := range map[string]func(*qat.EmbeddingConfig){
		"weight bits 3, want 4 or 8":                          func(e *qat.EmbeddingConfig) { e.Bits = 3 },
		"group_size 48, want 32, 64 or 128":                   func(e *qat.EmbeddingConfig) { e.Bits, e.GroupSize = 8, 48 },
		"embeddings.group_size 32 with embeddings.bits 0":     func(e *qat.EmbeddingConfig) { e.GroupSize = 32 },
		"embeddings.include is empty":                         func(e *qat.EmbeddingConfig) { e.Bits, e.Include = 8, nil },
		`embeddings.include "**.none" matches no embedding`:   func(e *qat.EmbeddingConfig) { e.Bits, e.Include = 8, []string{"**.none"} },
		`embeddings.include: qat: pattern "a..b": segment ""`: func(e *qat.EmbeddingConfig) { e.Bits, e.Include = 8, []string{"a..b"} },
		"embeddings.overrides with embeddings.bits 0": func(e *qat.EmbeddingConfig) {
			e.Overrides = []qat.EmbeddingOverride{{Include: []string{"**"}, Bits: 4}}
		},
		`embeddings.overrides[0] ["**.none"] matches no quant`: func(e *qat.EmbeddingConfig) {
			e.Bits, e.Overrides = 8, []qat.EmbeddingOverride{{Include: []string{"**.none"}, Bits: 4}}
		},
		"embeddings.overrides[0]: quant: weight bits 5": func(e *qat.EmbeddingConfig) {
			e.Bits, e.Overrides = 8, []qat.EmbeddingOverride{{Include: []string{"**"}, Bits: 5}}
		},
		"embeddings.overrides[0] wants include": func(e *qat.EmbeddingConfig) { e.Bits, e.Overrides = 8, []qat.EmbeddingOverride{{Bits: 4}} },
	} {
		c := qat.DefaultConfig()
		edit(&c.Embeddings)
		if _, err := qat.NewPlan(m, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if p := must(qat.NewPlan(m, qat.DefaultConfig()))(t); len(p.Tables) != 0 {
		t.Errorf("tables %+v are quantized by default", p.Tables)
	}
}
