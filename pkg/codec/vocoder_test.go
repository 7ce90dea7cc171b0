package codec

import (
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// noise of got relative to want, in dB.
func noise(got, want []float32) float64 {
	var signal, off float64
	for i := range want {
		signal += float64(want[i]) * float64(want[i])
		off += float64(got[i]-want[i]) * float64(got[i]-want[i])
	}
	return 10 * math.Log10(signal/off)
}

func decoded(t *testing.T, m *Codec, codes [][]int32) []float32 {
	t.Helper()
	wav, err := m.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	return wav
}

// Blocks that are trained are libtorch's, and follow the parameters; otherwise they are compiled, and compiled again when
// a parameter gets another tensor.
func TestVocoderFollowsParameters(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	codes := randomCodes(m, 12)
	old, err := m.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if old.fast == nil {
		t.Fatal("blocks in float32 on the CPU are not compiled")
	}
	before := decoded(t, m, codes)
	if m.fast != old.fast {
		t.Error("the same parameters are compiled twice")
	}
	last := m.Decoder.blocks[len(m.Decoder.blocks)-1].layer.(*causalConv).B
	err = nn.Run(func(c *nn.Context) error {
		last.Set(c.Release(c.Full(gotch.Float, 0.25, 1)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after := decoded(t, m, codes)
	wantClose(t, "after the change", after, forward(t, m, codes), rounding)
	if !differs(before, after, 1e-3) {
		t.Error("another bias changes nothing")
	}
	if _, err := old.Push(codes); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("error %v from a stream of the old weights, want that it is closed", err)
	}

	if err := tensor.RequireGrad(last.T, true); err != nil {
		t.Fatal(err)
	}
	s, err := m.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.fast != nil {
		t.Error("blocks that are trained are compiled")
	}
	wav, err := s.Push(codes)
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "libtorch", wav, after, rounding)
}

// Training changes numbers in place and then stops recording: what was compiled before it is of no use.
func TestVocoderAfterTraining(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	codes := randomCodes(m, 5)
	before := decoded(t, m, codes)
	for _, p := range nn.Params(m.Decoder.blocks) {
		at, err := p.T.DataPtr()
		if err != nil {
			t.Fatal(err)
		}
		numbers := unsafe.Slice((*float32)(at), p.NumElements())
		for i := range numbers {
			numbers[i] += 1e-2 * float32(i%3-1)
		}
	}
	after := decoded(t, m, codes)
	wantClose(t, "after the steps", after, forward(t, m, codes), rounding)
	if !differs(before, after, 1e-3) {
		t.Error("the steps change nothing")
	}
}

// In bfloat16 the compiled blocks round less than libtorch's: they are nearer to float32.
func TestVocoderBFloat16(t *testing.T) {
	if len(native.WaveKernels(true)) == 0 {
		t.Log("this CPU has no bfloat16 products: float32 kernels are tested")
	}
	m, b := loaded(t, "tiny-f32", Options{Parts: DecoderOnly}), loaded(t, "tiny-f32", Options{Parts: DecoderOnly, DType: gotch.BFloat16})
	codes := randomCodes(m, 20)
	want := decoded(t, m, codes)
	fast, torch := noise(decoded(t, b, codes), want), noise(forward(t, b, codes), want)
	if !(fast > 15 && fast > torch-3) {
		t.Errorf("signal to noise ratio %.1f dB compiled, %.1f dB by libtorch", fast, torch)
	}
}

// Weights that overflow are an error, not silence.
func TestDecodeOverflow(t *testing.T) {
	m := loaded(t, "tiny-sharded", Options{Parts: DecoderOnly})
	err := nn.Run(func(c *nn.Context) error {
		w := m.Decoder.blocks[0].layer.(*causalConv).W
		w.Set(c.Release(c.Full(gotch.Float, 3e38, w.Shape...)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Decode(randomCodes(m, 3)); err == nil || !strings.Contains(err.Error(), "not a number") {
		t.Errorf("error %v, want that a sample is not a number", err)
	}
}
