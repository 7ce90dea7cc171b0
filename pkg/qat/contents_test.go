package qat_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// mixedTables quantizes one table to 8 bits per row and the other to 4 in groups.
func mixedTables(bits int) qat.Config {
	cfg := qat.DefaultConfig()
	cfg.Activation = quant.ActivationScheme{}
	cfg.Embeddings.Bits = bits
	if bits != 0 {
		cfg.Embeddings.Overrides = []qat.EmbeddingOverride{{Include: []string{"**.codec_*"}, Bits: 4, GroupSize: 32}}
	}
	return cfg
}

// What Contents lists is what SaveCheckpoint writes: names, dtypes, shapes and the size of the file, to the byte. And tables
// have the schemes that overrides give them.
func TestContents(t *testing.T) {
	for _, bits := range []int{0, 8} {
		source := tablesTeacher(t)
		m := loadTables(t, source)
		defer nn.Close(m)
		plan := must(qat.NewPlan(m, mixedTables(bits)))(t)
		want := must(qat.Contents(m, plan, source))(t)
		must(qat.Prepare(m, mixedTables(bits)))(t)
		dir := filepath.Join(t.TempDir(), "packed")
		must(qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: source}))(t)
		r := must(ckpt.Open(dir))(t)
		defer r.Close()
		got := r.Infos()
		if len(got) != len(want) {
			t.Errorf("%d tensors in the file, %d in the contents", len(got), len(want))
		}
		for _, w := range want {
			i := slices.IndexFunc(got, func(g ckpt.Info) bool { return g.Name == w.Name })
			if i < 0 || got[i].DType != w.DType || !slices.Equal(got[i].Shape, w.Shape) {
				t.Errorf("%s %s %v is not in the file", w.Name, w.DType, w.Shape)
			}
		}
		info, err := os.Stat(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if n := must(qat.FileSize(want))(t); n != info.Size() {
			t.Errorf("the contents take %d bytes, the file %d", n, info.Size())
		}
		if bits == 0 {
			continue
		}
		folder := must(qat.Describe(dir))(t)
		for _, l := range folder.Tables {
			scheme := "int8 sym channel"
			if l.Path == m.codec.Path {
				scheme = "int4 sym g32"
			}
			if l.Weight.String() != scheme {
				t.Errorf("%s is %v in the file, want %s", l.Path, l.Weight, scheme)
			}
		}
		if len(folder.Tables) != 2 {
			t.Errorf("%d tables in the file, want 2", len(folder.Tables))
		}
	}
}

// A copy of a table is what Prepare makes of it, and the table stays.
func TestEmbeddingFromFloat(t *testing.T) {
	source, cfg := tablesTeacher(t), mixedTables(8)
	m, prepared := loadTables(t, source), loadTables(t, source)
	defer nn.Close(m)
	defer nn.Close(prepared)
	must(qat.Prepare(prepared, cfg))(t)
	before := rows(t, m)
	want := rows(t, prepared)
	for _, e := range nn.Embeddings(m) {
		q := must(qat.EmbeddingFromFloat(e, cfg))(t)
		defer nn.Close(q)
		e.T = q
	}
	if got := rows(t, m); !slices.Equal(got, want) {
		t.Error("copies of the tables have other rows than prepared tables")
	}
	for _, e := range nn.Embeddings(m) {
		e.T = nil
	}
	if got := rows(t, m); !slices.Equal(got, before) {
		t.Error("the float tables have changed")
	}
	if v := must(tensor.Floats(m.text.W.T))(t); len(v) != 37*64 {
		t.Errorf("the float table has %d values", len(v))
	}
	if _, err := qat.EmbeddingFromFloat(m.text, qat.DefaultConfig()); err == nil {
		t.Error("no error without bits for embeddings")
	}
}
