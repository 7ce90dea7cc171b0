package measure_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/measure"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// packed is the demo's teacher in W4A8.
func packed(t *testing.T) string {
	t.Helper()
	teacher, err := demo.TeacherDir()
	if err != nil {
		t.Fatal(err)
	}
	m, err := talker.Load(teacher, talker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := qat.Prepare(m, qat.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	if err := qat.Convert(m); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "packed")
	if _, err := qat.SaveCheckpoint(dir, m, qat.SaveOptions{Source: teacher}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// All parts are measured, of a packed checkpoint and of the same one dense; what a frame reads is that of its format.
func TestDecoder(t *testing.T) {
	if err := tensor.SetThreads(1); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	o := measure.Options{Model: packed(t), Text: 3, Frames: 4, Chunk: 2, Steppers: talker.StepperOptions{Threads: 1}}
	read := map[string]float64{}
	for _, form := range []struct {
		name  string
		dtype gotch.DType
		dense bool
		rows  int
	}{{"packed", gotch.Float, false, 0}, {"f32", gotch.Float, true, 20}, {"bf16", gotch.BFloat16, true, 0}} {
		o.DType, o.Dense, o.Rows = form.dtype, form.dense, form.rows
		d, err := measure.Open(o)
		if err != nil {
			t.Fatal(form.name, err)
		}
		if strings.Contains(d.Kernels(), "libtorch") {
			t.Errorf("%s: %s, want native kernels", form.name, d.Kernels())
		}
		s, err := d.Speech(ctx)
		if err != nil {
			t.Fatal(form.name, err)
		}
		if s.Prefill <= 0 || s.Talker <= 0 || s.Predictor <= 0 || form.rows > 0 && s.Rows != form.rows {
			t.Errorf("%s: %+v, want times of all parts, and %d rows", form.name, s, form.rows)
		}
		sound, err := d.Sound()
		if err != nil || sound <= 0 {
			t.Errorf("%s: codec %v (%v)", form.name, sound, err)
		}
		first, err := d.FirstPacket(ctx)
		if err != nil || first <= s.Prefill/100 {
			t.Errorf("%s: first packet %v ms (%v)", form.name, first, err)
		}
		read[form.name] = d.Read().Total()
		if w := d.Where(1e9); w == nil || len(w.Rows) != 3 {
			t.Errorf("%s: no table of where the time went", form.name)
		}
		d.Close()
	}
	if read["f32"] != 2*read["bf16"] {
		t.Errorf("a frame reads %.0f bytes in f32, want twice the %.0f of bf16", read["f32"], read["bf16"])
	}
	if bits := 32 * read["packed"] / read["f32"]; bits < 4.5 || bits > 8 {
		t.Errorf("a packed weight takes %.2f bits, want 4.5 and a few layers that are not packed", bits)
	}
}

func TestRefusals(t *testing.T) {
	teacher, err := demo.TeacherDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    measure.Options
		want string
	}{
		{measure.Options{Model: teacher, Text: 0, Frames: 4, Chunk: 1}, "0 text tokens"},
		{measure.Options{Model: teacher, Text: 3, Frames: 4, Silent: true, Rows: 2}, "2 rows"},
		{measure.Options{Model: teacher, Text: 3, Frames: 4, Silent: true, Voice: "nobody"}, "nobody"},
	} {
		if d, err := measure.Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.o, err, c.want)
		} else if d != nil {
			t.Error("a decoder beside an error")
		}
	}
	d, err := measure.Open(measure.Options{Model: teacher, Text: 3, Frames: 2, Silent: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Sound(); err == nil || !strings.Contains(err.Error(), "no codec") {
		t.Errorf("error %v, want that there is no codec", err)
	}
}

func TestBandwidth(t *testing.T) {
	if v, err := measure.Bandwidth(1); err != nil || v < 1e8 {
		t.Errorf("%v bytes/s (%v)", v, err)
	}
}
