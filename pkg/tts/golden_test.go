package tts_test

import (
	"context"
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
	"github.com/qakd/qakd/pkg/talker"
	"github.com/qakd/qakd/pkg/tts"
)

func TestMain(m *testing.M) {
	if err := tensor.SetThreads(1); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// mode is how the reference generated one set of goldens.
type mode struct {
	MaxNewTokens int      `json:"max_new_tokens"`
	Ended        []bool   `json:"stopped_by_eos"`
	NonStreaming bool     `json:"non_streaming"`
	Languages    []string `json:"languages"`
	Speakers     []string `json:"speakers"`
}

func fixture(name string) string { return filepath.Join("../talker/testdata", name) }

func modes(t *testing.T, name string) map[string]mode {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixture(name), "golden/manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Sections struct {
			Generate map[string]json.RawMessage `json:"generate"`
		} `json:"sections"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	out := map[string]mode{}
	for key, raw := range manifest.Sections.Generate {
		var m mode
		if err := json.Unmarshal(raw, &m); err == nil && m.MaxNewTokens > 0 {
			out[key] = m
		}
	}
	return out
}

// goldens are the tensors of one file.
type goldens struct {
	t   *testing.T
	src *ckpt.Reader
}

func openGoldens(t *testing.T, name string) goldens {
	t.Helper()
	src, err := ckpt.Open(filepath.Join(fixture(name), "golden/generate.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return goldens{t, src}
}

// values of a tensor, nil when there is none of the name.
func (g goldens) values(name string) []float64 {
	g.t.Helper()
	info, ok := g.src.Info(name)
	if !ok {
		return nil
	}
	_, data, err := g.src.Bytes(name)
	if err != nil {
		g.t.Fatal(err)
	}
	dtype, err := nn.DTypeOf(info.DType)
	if err != nil {
		g.t.Fatal(err)
	}
	var out []float64
	err = tensor.Run(func(s *tensor.Scope) error {
		x, err := tensor.New(dtype, info.Shape, data)
		if err != nil {
			return err
		}
		v, err := tensor.Floats(s.Own(x))
		for _, f := range v {
			out = append(out, float64(f))
		}
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

func (g goldens) ids(name string) []int32 {
	var out []int32
	for _, v := range g.values(name) {
		out = append(out, int32(v))
	}
	return out
}

func (g goldens) samples(name string) []float32 {
	var out []float32
	for _, v := range g.values(name) {
		out = append(out, float32(v))
	}
	return out
}

// line undoes what the reference's wrapper did to a text: ids back to the text, the recording to a voice.
func line(t *testing.T, s *tts.Synthesizer, g goldens, name string, m mode, i int) tts.Line {
	t.Helper()
	item := fmt.Sprintf("%s.%d", name, i)
	ids := g.ids(item + ".input_ids")
	l := tts.Line{ID: item, Text: s.Text.Decode(ids[3 : len(ids)-5]), Language: m.Languages[i], Layout: tts.Streaming}
	if m.NonStreaming {
		l.Layout = tts.Whole
	}
	if ids := g.ids(item + ".instruct_ids"); ids != nil {
		turn := s.Text.Decode(ids)
		l.Instruct = strings.TrimSuffix(strings.TrimPrefix(turn, "<|im_start|>user\n"), "<|im_end|>\n")
	}
	if m.Speakers != nil {
		l.Speaker = m.Speakers[i]
		return l
	}
	if want := g.samples(item + ".speaker_embedding"); want != nil {
		transcript := ""
		if ids := g.ids(item + ".ref_ids"); ids != nil {
			transcript = s.Text.Decode(ids[3 : len(ids)-2])
		}
		v, err := s.Clone(g.samples("ref_wav"), transcript)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "speaker vector", v.Vector, want, 2e-4)
		if transcript != "" && !slices.Equal(flat(v.Reference.Codes), g.ids(item+".ref_code")) {
			t.Errorf("the reference has other codes")
		}
		l.Voice = v
	}
	return l
}

func flat(codes [][]int32) []int32 { return slices.Concat(codes...) }

func near(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); d > tol*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func open(t *testing.T, dir string, o tts.Options) *tts.Synthesizer {
	t.Helper()
	s, err := tts.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func greedy(s *tts.Synthesizer, most int) talker.Sampling {
	out := s.Sampling
	out.DoSample, out.SubDoSample, out.MaxNewTokens = false, false, most
	return out
}

// From text, recording and names to sound, in every mode of the reference: the same codes, and sound within tolerance;
// packet by packet, too.
func TestSpeaksAsTheReference(t *testing.T) {
	heard := 0
	for _, name := range []string{"tiny-f32", "tiny-bf16", "tiny-sharded"} {
		s := open(t, filepath.Join(fixture(name), "checkpoint"), tts.Options{})
		g, all := openGoldens(t, name), modes(t, name)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			m := all[key]
			t.Run(name+"/"+key, func(t *testing.T) {
				if key == "voice_design" { // one checkpoint stands for both kinds
					kind := s.Config.Type
					s.Config.Type = talker.VoiceDesign
					defer func() { s.Config.Type = kind }()
				}
				for i, ended := range m.Ended {
					l := line(t, s, g, key, m, i)
					for how, say := range map[string]func(context.Context, tts.Line, talker.Sampling, tts.Sink) (*tts.Sound, error){
						"whole": s.Speak, "stream": s.Stream,
					} {
						sound, err := say(context.Background(), l, greedy(s, m.MaxNewTokens), nil)
						if err != nil {
							t.Fatal(err)
						}
						item := fmt.Sprintf("%s.%d", key, i)
						if !slices.Equal(flat(sound.Codes), g.ids(item+".codes")) {
							t.Errorf("%s %s: codes %v, want %v", item, how, flat(sound.Codes), g.ids(item+".codes"))
						}
						if sound.Ended != ended || len(sound.Samples) != len(sound.Codes)*s.Hop() {
							t.Errorf("%s %s: ended %v, %d samples; want %v, %d", item, how, sound.Ended, len(sound.Samples), ended, len(sound.Codes)*s.Hop())
						}
						if want := g.samples(item + ".wav"); want != nil {
							near(t, item+" "+how, sound.Samples, want, 1e-3)
							heard++
						}
					}
				}
			})
		}
	}
	if heard < 8 {
		t.Errorf("%d sounds were compared, want 8 or more", heard)
	}
}
