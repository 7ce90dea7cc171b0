package talker

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

func TestMain(m *testing.M) {
	tensor.SetThreads(1)
	os.Exit(m.Run())
}

// goldens reads the tensors of one golden file.
type goldens struct {
	t   *testing.T
	src ckpt.Source
}

func openGoldens(t *testing.T, fixture, file string) *goldens {
	t.Helper()
	src, err := ckpt.Open(filepath.Join("testdata", fixture, "golden", file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return &goldens{t, src}
}

func (g *goldens) has(name string) bool {
	for _, info := range g.src.Infos() {
		if info.Name == name {
			return true
		}
	}
	return false
}

func (g *goldens) tensor(c *nn.Context, name string) *ts.Tensor {
	g.t.Helper()
	info, data, err := g.src.Bytes(name)
	if err != nil {
		g.t.Fatal(err)
	}
	dtype, err := nn.DTypeOf(info.DType)
	if err != nil {
		g.t.Fatal(err)
	}
	return c.Must(tensor.New(dtype, info.Shape, data))
}

func (g *goldens) ints(c *nn.Context, name string) []int64 {
	g.t.Helper()
	v, err := tensor.Ints(g.tensor(c, name))
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

func (g *goldens) ids(c *nn.Context, name string) []int32 {
	g.t.Helper()
	if !g.has(name) {
		return nil
	}
	var out []int32
	for _, v := range g.ints(c, name) {
		out = append(out, int32(v))
	}
	return out
}

// frames are codes [frames][G].
func (g *goldens) frames(c *nn.Context, name string, groups int) [][]int32 {
	g.t.Helper()
	return slices.Collect(slices.Chunk(g.ids(c, name), groups))
}

func loadFixture(t *testing.T, fixture string) *Model {
	t.Helper()
	m, err := Load(filepath.Join("testdata", fixture, "checkpoint"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// run calls f in a context without recording.
func run(t *testing.T, f func(c *nn.Context) error) {
	t.Helper()
	var err error
	nn.NoGrad(func() { err = nn.Run(f) })
	if err != nil {
		t.Fatal(err)
	}
}

// close checks |got - want| ≤ tol·(1 + |want|) element by element.
func wantClose(t *testing.T, what string, got, want *ts.Tensor, tol float64) {
	t.Helper()
	g, err := tensor.Floats(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := tensor.Floats(want)
	if err != nil {
		t.Fatal(err)
	}
	if len(g) != len(w) {
		t.Fatalf("%s: %d values, want %d", what, len(g), len(w))
	}
	for i := range w {
		if d := math.Abs(float64(g[i] - w[i])); !(d <= tol*(1+math.Abs(float64(w[i])))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, g[i], w[i])
		}
	}
}

// mode is a section of generate.safetensors.
type mode struct {
	NonStreaming bool      `json:"non_streaming"`
	Languages    []*string `json:"languages"`
	Speakers     []string  `json:"speakers"`
	Max          int       `json:"max_new_tokens"`
	Ended        []bool    `json:"stopped_by_eos"`
}

func generationModes(t *testing.T, fixture string) map[string]mode {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", fixture, "golden", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Sections struct {
			Generate map[string]json.RawMessage `json:"generate"`
		} `json:"sections"`
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	modes := make(map[string]mode)
	for name, raw := range manifest.Sections.Generate {
		var m mode
		if name[0] != '_' {
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			modes[name] = m
		}
	}
	return modes
}
