package quant_test

import (
	"encoding"
	"fmt"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/quant"
)

func TestSchemeRanges(t *testing.T) {
	for _, c := range []struct {
		sch        quant.WeightScheme
		qmin, qmax int32
		name       string
	}{
		{quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 64}, -8, 7, "int4 sym g64"},
		{quant.WeightScheme{Bits: 4, Granularity: quant.PerChannel}, 0, 15, "int4 asym channel"},
		{quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerTensor}, -128, 127, "int8 sym tensor"},
		{quant.WeightScheme{Bits: 8, Granularity: quant.PerTensor}, 0, 255, "int8 asym tensor"},
	} {
		if err := c.sch.Validate(); err != nil {
			t.Errorf("%v: %v", c.sch, err)
		}
		if c.sch.QMin() != c.qmin || c.sch.QMax() != c.qmax || c.sch.String() != c.name {
			t.Errorf("%v: codes %d...%d, want %s with %d...%d", c.sch, c.sch.QMin(), c.sch.QMax(), c.name, c.qmin, c.qmax)
		}
	}
}

func TestSchemeErrors(t *testing.T) {
	for _, c := range []struct {
		v    interface{ Validate() error }
		want []string
	}{
		{quant.WeightScheme{Bits: 3, Granularity: quant.PerGroup, GroupSize: 48}, []string{"bits 3, want 4 or 8", "group_size 48, want 32, 64 or 128"}},
		{quant.WeightScheme{Bits: 4, Granularity: 9}, []string{"granularity invalid(9)"}},
		{quant.ActivationScheme{Bits: 16, Mode: quant.DynamicToken}, []string{"bits 16 with mode dynamic_token, want 4 or 8"}},
		{quant.ActivationScheme{Bits: 8, Mode: -1}, []string{"mode invalid(-1)"}},
	} {
		err := c.v.Validate()
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: error %v, want %q", c.v, err, w)
			}
		}
	}
}

// A field that a scheme does not use plays no part.
func TestNormal(t *testing.T) {
	w := quant.WeightScheme{Bits: 4, Granularity: quant.PerChannel, GroupSize: 32}
	if err := w.Validate(); err != nil || w.Normal() != (quant.WeightScheme{Bits: 4, Granularity: quant.PerChannel}) {
		t.Errorf("%+v, %v", w.Normal(), err)
	}
	if g := quant.DefaultWeightScheme(); g.Normal() != g {
		t.Errorf("%+v", g.Normal())
	}
	a := quant.ActivationScheme{Bits: 8}
	if err := a.Validate(); err != nil || a.Normal() != (quant.ActivationScheme{}) {
		t.Errorf("%+v, %v", a.Normal(), err)
	}
}

func TestEnumText(t *testing.T) {
	type text interface {
		encoding.TextMarshaler
		fmt.Stringer
	}
	var g quant.Granularity
	var m quant.ActivationMode
	var s quant.ScaleMethod
	for _, c := range []struct {
		values []text
		into   encoding.TextUnmarshaler
		got    func() text
		bad    string
	}{
		{[]text{quant.PerTensor, quant.PerChannel, quant.PerGroup}, &g, func() text { return g }, "per_tensor, per_channel, per_group"},
		{[]text{quant.ActivationNone, quant.DynamicToken, quant.StaticTensor}, &m, func() text { return m }, "none, dynamic_token, static_tensor"},
		{[]text{quant.AbsMax, quant.AbsMaxHalf, quant.SignedMax, quant.MinMax}, &s, func() text { return s }, "absmax, absmax_half, signed_max, min_max"},
	} {
		for _, v := range c.values {
			b, err := v.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.into.UnmarshalText(b); err != nil || c.got() != v || string(b) != v.String() {
				t.Errorf("%v written as %q, read as %v, %v", v, b, c.got(), err)
			}
		}
		if err := c.into.UnmarshalText([]byte("nothing")); err == nil || !strings.Contains(err.Error(), c.bad) {
			t.Errorf("error %v, want the choices %s", err, c.bad)
		}
	}
}

func TestFit(t *testing.T) {
	group := func(g int64) quant.WeightScheme {
		return quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: g}
	}
	channel := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerChannel}
	for _, c := range []struct {
		asked quant.WeightScheme
		k     int64
		want  quant.WeightScheme
		noted bool
	}{
		{group(32), 64, group(32), false},
		{group(128), 192, group(96), true}, // 96 is the largest divisor of 192 under 128
		{group(64), 96, group(48), true},
		{group(128), 33, group(33), true},
		{group(128), 100, group(100), true}, // the whole row: a group of 100
		{group(32), 100, channel, true},     // no divisor between 32 and 32
		{group(128), 262, channel, true},    // 131 is prime
		{channel, 7, channel, false},
	} {
		got, note, err := c.asked.Fit("l", c.k, true)
		if err != nil || got != c.want || (note != "") != c.noted {
			t.Errorf("%v of width %d: %v, note %q, error %v; want %v", c.asked, c.k, got, note, err, c.want)
		}
		_, _, err = c.asked.Fit("talker.layers.0.q_proj", c.k, false)
		if (err != nil) != c.noted {
			t.Errorf("%v of width %d without fallback: %v", c.asked, c.k, err)
		}
		if err != nil {
			want := fmt.Sprintf("quant: group_size %d does not divide in_features %d of talker.layers.0.q_proj", c.asked.GroupSize, c.k)
			if err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
		}
	}
}

func TestBitsPerWeight(t *testing.T) {
	for _, c := range []struct {
		sch  quant.WeightScheme
		n, k int64
		want float64 // by hand
	}{
		{quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 32}, 256, 1024, 4.5},
		{quant.WeightScheme{Bits: 4, Granularity: quant.PerGroup, GroupSize: 32}, 256, 1024, 4.625},
		{quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerGroup, GroupSize: 128}, 256, 1024, 4.125},
		{quant.WeightScheme{Bits: 8, Symmetric: true, Granularity: quant.PerChannel}, 256, 1024, 8.015625},
		{quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerChannel}, 2, 9, 8 * 20. / 18}, // 2 words + a scale a row
		{quant.WeightScheme{Bits: 4, Granularity: quant.PerTensor}, 8, 8, 8 * 35. / 64},
	} {
		got, err := c.sch.BitsPerWeight(c.n, c.k)
		if err != nil || got != c.want {
			t.Errorf("%v [%d, %d]: %v bits, %v; want %v", c.sch, c.n, c.k, got, err, c.want)
		}
	}
	if _, err := quant.DefaultWeightScheme().BitsPerWeight(4, 33); err == nil {
		t.Error("a group size that does not divide is no error")
	}
}
