package int4

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// suits tells why the kernels cannot compute with a layer, and gives the scale of its input where that is static.
func (s *source) suits(l qat.LayerPlan) (input float32, err error) {
	if err := Supports(l.Out, l.In, l.Weight); err != nil {
		return 0, err
	}
	if l.Activation.Mode == quant.StaticTensor {
		v, err := s.floats(l.Path + ".input_scale")
		if err != nil || len(v) != 1 {
			return 0, fmt.Errorf("int4: %d input scales, want one (%v)", len(v), err)
		}
		input = v[0]
	}
	if err := new(Matrix).SetInput(l.Activation, input); err != nil {
		return 0, err
	}
	scales, err := s.floats(l.Path + ".weight_scale")
	for _, v := range scales {
		if !quant.OnGrid(v) {
			return 0, fmt.Errorf("int4: scale %v is not on the scale grid", v)
		}
	}
	return input, err
}

func (s *source) floats(name string) ([]float32, error) {
	info, data, err := s.Bytes(name)
	if err != nil {
		return nil, err
	}
	return (&storedTensor{info, data}).floats()
}

// source are the quantized layers of a packed checkpoint.
type source struct {
	*ckpt.Reader
	layers []qat.LayerPlan
}

func openSource(dir string) (*source, error) {
	folder, err := qat.Describe(dir)
	if err != nil {
		return nil, err
	}
	if folder.Kind != "packed" {
		return nil, fmt.Errorf("int4: %s is a %s checkpoint, want a packed one", dir, folder.Kind)
	}
	r, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	return &source{r, folder.Layers}, nil
}

// stored are the tensors of a layer, as they lie in the checkpoint: some are nil where a scheme has none.
type stored struct {
	words, scale, zero, input *storedTensor
	hash                      string // SHA-256 of all of them with their names, dtypes and shapes
}

type storedTensor struct {
	ckpt.Info
	data []byte
}

// read reads a layer's tensors. They are copied, so that the checkpoint's pages do not stay with the process.
func (s *source) read(l qat.LayerPlan) (*stored, error) {
	h := sha256.New()
	tensor := func(suffix string, need bool) (*storedTensor, error) {
		info, ok := s.Info(l.Path + suffix)
		if !ok && !need {
			return nil, nil
		}
		t := &storedTensor{info, int32Memory(info.Bytes)}
		if err := s.CopyAt(t.data, l.Path+suffix, 0); err != nil {
			return nil, err
		}
		fmt.Fprintf(h, "%v\n", info)
		h.Write(t.data)
		return t, nil
	}
	var out stored
	var err error
	for _, part := range []struct {
		to     **storedTensor
		suffix string
		need   bool
	}{{&out.words, ".weight_packed", true}, {&out.scale, ".weight_scale", true},
		{&out.zero, ".weight_zero_point", !l.Weight.Symmetric}, {&out.input, ".input_scale", l.Activation.Mode == quant.StaticTensor}} {
		if *part.to, err = tensor(part.suffix, part.need); err != nil {
			return nil, err
		}
	}
	out.hash = hex.EncodeToString(h.Sum(nil))
	return &out, nil
}

// int32Memory is n bytes that int32 words may be read from.
func int32Memory(n int64) []byte {
	words := make([]int32, (n+3)/4)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

// packed is the layer in pkg/quant's form; Put checks its parts.
func (t *stored) packed(l qat.LayerPlan) (w *quant.Packed, err error) {
	if t.words.DType != "I32" {
		return nil, fmt.Errorf("tensor %v, want I32", t.words.Info)
	}
	w = &quant.Packed{Scheme: l.Weight, N: l.Out, K: l.In, Words: t.words.int32s()}
	p := &w.Params
	if p.Rows, p.Groups, err = l.Weight.ParamShape(l.Out, l.In); err != nil {
		return nil, err
	}
	if p.Scale, err = t.scale.floats(); err != nil || t.zero == nil {
		return w, err
	}
	p.ZeroPoint, err = quant.UnpackZeroPoints(t.zero.int32s(), p.Rows, p.Groups, l.Weight)
	return w, err
}

func (t *storedTensor) int32s() []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(t.data))), len(t.data)/4)
}

func (t *storedTensor) floats() ([]float32, error) {
	dtype, err := nn.DTypeOf(t.DType)
	if err != nil {
		return nil, err
	}
	x, err := tensor.New(dtype, t.Shape, t.data)
	if err != nil {
		return nil, err
	}
	defer x.Drop()
	return tensor.Floats(x)
}

// each calls f with 0 … n-1 on up to threads goroutines.
func each(n, threads int, f func(i int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(n, max(threads, 1)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		}()
	}
	wait.Wait()
}
