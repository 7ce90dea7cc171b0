package inspect_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/inspect"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// config is INT4 in groups of 32 for the fixture, heads in INT8 per channel, the text projection float.
func config() qat.Config {
	cfg := qat.DefaultConfig()
	cfg.Exclude = []string{"talker.text_projection.*"}
	cfg.Overrides = []qat.Override{{Include: []string{"**.lm_head.*", "talker.codec_head"},
		Weight: &quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}}}
	return cfg
}

// forms are one teacher in all three: float, fake-quantized, packed.
func forms(t *testing.T) (float, student, packed string) {
	t.Helper()
	dir := t.TempDir()
	student, packed = filepath.Join(dir, "student"), filepath.Join(dir, "packed")
	m, err := talker.Load(sharded, talker.Options{})
	must(t, err)
	defer m.Close()
	_, err = qat.Prepare(m, config())
	must(t, err)
	must(t, qat.SaveStudent(student, m, qat.SaveOptions{Source: sharded}))
	must(t, qat.Convert(m))
	_, err = qat.SaveCheckpoint(packed, m, qat.SaveOptions{Source: sharded})
	must(t, err)
	return sharded, student, packed
}

func TestForms(t *testing.T) {
	float, student, packed := forms(t)
	for dir, kind := range map[string]string{float: "float", student: "student", packed: "packed"} {
		m := look[*inspect.Model](t, dir, "model", inspect.Options{})
		if m.Kind != kind || m.Parameters != 445_024 || m.Checks[0].Verdict != inspect.OK {
			t.Errorf("%s: kind %s, %d parameters, %+v", dir, m.Kind, m.Parameters, m.Checks)
		}
	}
	l := look[*inspect.Layers](t, packed, "layers", inspect.Options{}).Layers
	if x := l[7]; x.Path != "talker.model.layers.0.self_attn.o_proj" || x.DType != "int4 in I32" || x.Parameters != 5_120 || x.Bytes != 80*64/2+80*2*2+16 {
		t.Errorf("%+v", x) // codes, scales, weight_shape
	}
	if x := l[18]; x.Path != "talker.codec_head" || x.DType != "int8 in I32" || x.Bytes != 1088*80+1088*2+16 {
		t.Errorf("%+v", x)
	}
}

func TestQuant(t *testing.T) {
	float, student, packed := forms(t)
	plan := look[*inspect.Quant](t, float, "quant", inspect.Options{Quant: config()})
	if len(plan.Layers) != 40 || len(plan.Kept) != 2 || plan.Layers[0].ScaleMin != nil || plan.SQNR != nil {
		t.Errorf("plan: %d layers, kept %v", len(plan.Layers), plan.Kept)
	}
	a := look[*inspect.Quant](t, student, "quant", inspect.Options{Teacher: float})
	b := look[*inspect.Quant](t, packed, "quant", inspect.Options{Teacher: float})
	for i, p := range plan.Layers {
		x, y := a.Layers[i], b.Layers[i]
		if x.LayerPlan != y.LayerPlan || x.Path != p.Path || x.Weight != p.Weight || x.BytesAfter != p.BytesAfter || x.Activation != p.Activation {
			t.Errorf("plan %+v, student %+v, packed %+v", p.LayerPlan, x.LayerPlan, y.LayerPlan)
		}
		if *x.ScaleMin != *y.ScaleMin || *x.ScaleMax != *y.ScaleMax || *x.SQNR != *y.SQNR || !(*x.ScaleMin > 0 && *x.ScaleMin <= *x.ScaleMax) {
			t.Errorf("%s: student and packed differ, or the scales are none", p.Path)
		}
		// A Gaussian in groups has about 19 dB with 4 bits, and 6.02 dB more with each further bit.
		if lo, hi := 14.0, 24.0; x.Weight.Bits == 4 && (*x.SQNR < lo || *x.SQNR > hi) || x.Weight.Bits == 8 && *x.SQNR < 36 {
			t.Errorf("%s: %v has %.1f dB", p.Path, x.Weight, *x.SQNR)
		}
	}
	// o_proj: 80x64 codes of 4 bits and 2 scales of 16 bits a row; codec_head: 8 bits and one scale a row of 80.
	if x := b.Layers[3]; x.BytesAfter != 2_880 || x.BitsPerWeight != 4.5 || x.Scales != 160 || x.BytesBefore != 10_240 {
		t.Errorf("%+v", x)
	}
	if x := b.Layers[14]; x.Path != "talker.codec_head" || math.Abs(x.BitsPerWeight-8.2) > 1e-12 || x.Scales != 1088 {
		t.Errorf("%+v", x)
	}
	if b.Params+b.Rest.Parameters != 445_024 || *b.SQNR != *a.SQNR || *b.SQNR < 14 {
		t.Errorf("%d quantized and %d other parameters, %.2f dB", b.Params, b.Rest.Parameters, *b.SQNR)
	}
	if text := print(t, b); !strings.Contains(text, "int8 sym channel") || !strings.Contains(text, "40 quantized weights") {
		t.Error(text)
	}
}

// TestQuantRefused: comparisons that mean nothing.
func TestQuantRefused(t *testing.T) {
	float, student, packed := forms(t)
	for _, tt := range []struct{ dir, teacher, want string }{
		{float, float, "is a float checkpoint: there is nothing to compare with"},
		{student, packed, "is packed, want a float checkpoint"},
		{student, f32, "has no projection talker.model.layers.0.self_attn.q_proj [64, 80] as"},
	} {
		c, err := inspect.Open(tt.dir)
		must(t, err)
		if _, err := c.Quant(config(), tt.teacher); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s against %s: %v, want %q", tt.dir, tt.teacher, err, tt.want)
		}
	}
}
