package codec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// copied is a fixture's folder whose files may be changed; edit changes its tensors before they are written back.
func copied(t *testing.T, name string, edit func(tensors map[string]ckpt.Tensor)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(fixture(name))); err != nil {
		t.Fatal(err)
	}
	src, err := ckpt.Open(fixture(name))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	tensors := make(map[string]ckpt.Tensor)
	for _, info := range src.Infos() {
		_, data, err := src.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors[info.Name] = ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data}
	}
	edit(tensors)
	var list []ckpt.Tensor
	for _, tt := range tensors {
		list = append(list, tt)
	}
	if err := ckpt.Write(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

func isUnused(name string) bool {
	return strings.HasSuffix(name, "initialized") || strings.HasPrefix(name, "encoder.") && strings.HasSuffix(name, "output_proj.weight") ||
		strings.HasPrefix(name, "decoder.quantizer.") && strings.HasSuffix(name, "input_proj.weight")
}

func TestLoadIsStrict(t *testing.T) {
	const conv = "decoder.pre_conv.conv.weight"
	dir := copied(t, "tiny-sharded", func(ts map[string]ckpt.Tensor) {
		delete(ts, "encoder.encoder.layers.0.conv.bias")
		ts["decoder.extra"] = ckpt.Tensor{Name: "decoder.extra", DType: "F32", Shape: []int64{1}, Data: make([]byte, 4)}
		w := ts[conv]
		w.Shape = []int64{w.Shape[0], w.Shape[2], w.Shape[1]}
		ts[conv] = w
	})
	_, err := Load(dir, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{dir, "1 missing, 1 unexpected, 1 mis-shaped", "encoder.encoder.layers.0.conv.bias", "decoder.extra", conv} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if _, err := Load(fixture("tiny-sharded"), Options{DType: gotch.Int64}); err == nil || !strings.Contains(err.Error(), "dtype") {
		t.Errorf("error %v for an integer dtype", err)
	}
	if _, err := Load(filepath.Join(dir, "nowhere"), Options{}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v, want the folder", err)
	}
}

// Tensors that nothing here needs may be absent, and each half loads without the other.
func TestLoadParts(t *testing.T) {
	dir := copied(t, "tiny-sharded", func(ts map[string]ckpt.Tensor) {
		n := 0
		for name := range ts {
			if isUnused(name) {
				delete(ts, name)
				n++
			}
		}
		if n != 2+8+2 {
			t.Errorf("%d unused tensors, want 12", n)
		}
	})
	m, err := Load(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()

	for parts, gone := range map[Parts]string{EncoderOnly: "decoder.", DecoderOnly: "encoder."} {
		dir := copied(t, "tiny-sharded", func(ts map[string]ckpt.Tensor) {
			for name := range ts {
				if strings.HasPrefix(name, gone) {
					delete(ts, name)
				}
			}
		})
		m, err := Load(dir, Options{Parts: parts})
		if err != nil {
			t.Fatal(err)
		}
		_, encode := m.Encode(tones(500))
		_, decode := m.Decode(randomCodes(m, 2))
		_, stream := m.NewStream()
		if (encode == nil) != (parts == EncoderOnly) || (decode == nil) != (parts == DecoderOnly) || (stream == nil) != (parts == DecoderOnly) {
			t.Errorf("%v: errors %v, %v, %v", parts, encode, decode, stream)
		}
		if err := m.Save(t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "one half is not loaded") {
			t.Errorf("error %v on saving one half", err)
		}
		m.Close()
	}
}

func TestBadInput(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{})
	nan := tones(100)
	nan[42] = float32(nanValue())
	loud := tones(100)
	loud[7] = 12000
	for name, tt := range map[string]struct {
		f    func() error
		want string
	}{
		"no samples":   {func() error { _, err := m.Encode(nil); return err }, "clip 0: no samples, want at least one"},
		"NaN":          {func() error { _, err := m.EncodeBatch([][]float32{tones(9), nan}); return err }, "clip 1: sample 42 is NaN, want a finite number"},
		"16 bit":       {func() error { _, err := m.Encode(loud); return err }, "sample 7 is 12000, want about -1 to 1"},
		"no frames":    {func() error { _, err := m.Decode(nil); return err }, "no frames, want at least one"},
		"groups":       {func() error { _, err := m.Decode([][]int32{{1, 2, 3, 4}, {1, 2, 3}}); return err }, "frame 1 has 3 codes, want 4"},
		"large code":   {func() error { _, err := m.Decode([][]int32{{1, 2, 64, 4}}); return err }, "frame 0: code 64 of group 2, want 0 to 63"},
		"negative":     {func() error { _, err := m.DecodeWhole([][]int32{{1, -1, 3, 4}}); return err }, "frame 0: code -1 of group 1, want 0 to 63"},
		"batch":        {func() error { _, err := m.DecodeBatch([][][]int32{{{1, 2, 3, 4}}, {}}); return err }, "clip 1: codec: decode: no frames"},
		"no chunk":     {func() error { _, err := m.DecodeChunked(randomCodes(m, 3), 0, 1); return err }, "chunks of 0 frames"},
		"bad context":  {func() error { _, err := m.DecodeChunked(randomCodes(m, 3), 1, -1); return err }, "-1 frames of context"},
		"many at once": {quantizeTooMany(m), "9 codebooks, want 1 to num_quantizers 8"},
	} {
		if err := tt.f(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", name, err, tt.want)
		}
	}
	s, err := m.NewStream() // what is refused leaves a stream where it was
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	codes := randomCodes(m, 6)
	first, err := s.Push(codes[:3])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push([][]int32{{1}}); err == nil {
		t.Error("a stream takes a frame of one code")
	}
	second, err := s.Push(codes[3:])
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "after a refusal", append(first, second...), forward(t, m, codes), rounding)
}

func nanValue() float64 { var zero float64; return zero / zero }

func quantizeTooMany(m *Codec) func() error {
	return func() error {
		return m.run(func(c *nn.Context) error {
			m.Encoder.Quantize(c, c.Zeros(gotch.Float, 1, m.Config.Encoder.Hidden, 2), 9)
			return nil
		})
	}
}
