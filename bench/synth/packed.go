package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"syscall"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// scheme is how a packed checkpoint is quantized: as the experiments for real checkpoints do it.
func (o options) scheme() qat.Config {
	c := qat.DefaultConfig()
	c.Weight.GroupSize = 128
	fine := quant.DefaultWeightScheme()
	c.Overrides = []qat.Override{{Include: []string{"talker.code_predictor.**"}, Weight: &fine}}
	c.Exclude = []string{"talker.text_projection.**"}
	c.Embeddings.Bits = o.embeddings
	return c
}

// plan is config.json, and how each layer is packed; nil for a float checkpoint.
func (o options) plan() (config object, plan *qat.Plan, err error) {
	config = modelConfig(o.size, o.kind)
	if !o.packed {
		return config, nil, nil
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := talker.ParseConfig(raw)
	if err != nil {
		return nil, nil, err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	if plan, err = qat.NewPlan(m, o.scheme()); err != nil {
		return nil, nil, err
	}
	ignore := plan.Kept
	if o.kind == "base" {
		ignore = append(ignore, `re:speaker_encoder\..*`)
	}
	config["quantization_config"] = qat.NewPackedConfig(plan.Layers, plan.Tables, ignore)
	return config, plan, nil
}

// pack replaces the weights that the plan names by their packed tensors. The codes are made while they are written; only
// the scales are kept from then on, as they come later in the file.
func (o options) pack(ctx context.Context, tensors []ckpt.Tensor, plan *qat.Plan) []ckpt.Tensor {
	plans := map[string]qat.LayerPlan{}
	for _, l := range append(plan.Layers, plan.Tables...) {
		plans[l.Path] = l
	}
	var out []ckpt.Tensor
	for _, t := range tensors {
		l, ok := plans[strings.TrimSuffix(t.Name, ".weight")]
		if !ok || !strings.HasSuffix(t.Name, ".weight") {
			out = append(out, t)
			continue
		}
		var scales []byte
		per := l.Weight.PerWord()
		_, groups, _ := l.Weight.ParamShape(l.Out, l.In) // the plan has fitted it
		shape := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(l.Out)), uint64(l.In))
		out = append(out,
			ckpt.Tensor{Name: l.Path + ".weight_shape", DType: "I64", Shape: []int64{2}, Data: shape},
			ckpt.Tensor{Name: l.Path + ".weight_packed", DType: "I32", Shape: []int64{l.Out, l.In / per}, Stream: func(w io.Writer) (err error) {
				scales, err = o.codes(ctx, w, t.Name, l)
				return err
			}},
			ckpt.Tensor{Name: l.Path + ".weight_scale", DType: "BF16", Shape: []int64{l.Out, groups}, Stream: func(w io.Writer) error {
				if scales == nil {
					return fmt.Errorf("scales before codes")
				}
				_, err := w.Write(scales)
				return err
			}})
	}
	return out
}

// codes writes the codes of a random weight and returns its scales in bf16.
func (o options) codes(ctx context.Context, w io.Writer, name string, l qat.LayerPlan) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n, random := l.Out*l.In, bytes.Buffer{}
	random.Grow(int(2 * n))
	if err := stream(&random, name, "BF16", n, o.seed); err != nil {
		return nil, err
	}
	half := make([]uint16, n)
	for i, b := 0, random.Bytes(); i < len(half); i++ {
		half[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	packed, err := nearest(half, l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	words := make([]byte, 0, 4*len(packed.Words))
	for _, x := range packed.Words {
		words = binary.LittleEndian.AppendUint32(words, uint32(x))
	}
	if _, err := w.Write(words); err != nil {
		return nil, err
	}
	var scales []byte
	for _, s := range packed.Params.Scale {
		scales = binary.LittleEndian.AppendUint16(scales, bfloat16(s))
	}
	return scales, nil
}

// nearest rounds bf16 weights to nearest: by the kernels of pkg/int4 where they know the scheme.
func nearest(half []uint16, l qat.LayerPlan) (*quant.Packed, error) {
	if size, err := int4.Size(l.Out, l.In, l.Weight); err == nil {
		strips, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil { // a matrix does not lie in Go's memory
			return nil, err
		}
		defer syscall.Munmap(strips)
		if err := int4.Nearest(strips, half, l.Out, l.In, l.Weight, runtime.GOMAXPROCS(0)); err != nil {
			return nil, err
		}
		m, err := int4.At(strips, l.Out, l.In, l.Weight)
		if err != nil {
			return nil, err
		}
		return m.Words()
	}
	v := make([]float32, len(half))
	for i, h := range half {
		v[i] = math.Float32frombits(uint32(h) << 16)
	}
	params, err := quant.InitQParams(v, l.Out, l.In, l.Weight, quant.AbsMax)
	if err != nil {
		return nil, err
	}
	return quant.Pack(v, l.Out, l.In, params, l.Weight)
}
