package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// TestPacked: every planned weight is codes, scales and shape, the rest stays; groups of 128 and, in the code predictor,
// of 32. The codes of a layer are the float checkpoint's weights, rounded to nearest.
func TestPacked(t *testing.T) {
	o := options{size: "0.6b", kind: "base", packed: true, embeddings: 8, seed: 1}
	config, plan, err := o.plan()
	if err != nil || config["quantization_config"] == nil {
		t.Fatal(config["quantization_config"], err)
	}
	if len(plan.Tables) != 17 || len(plan.Layers) != 28*7+5*7+1+15 {
		t.Errorf("%d tables and %d layers", len(plan.Tables), len(plan.Layers))
	}
	float := o.stored(context.Background(), o.tensors(), "BF16")
	tensors := map[string]ckpt.Tensor{}
	for _, x := range o.pack(context.Background(), float, plan) {
		tensors[x.Name] = x
	}
	if n := len(float) + 2*(len(plan.Layers)+len(plan.Tables)); len(tensors) != n {
		t.Errorf("%d tensors, want %d", len(tensors), n)
	}
	for path, group := range map[string]int64{"talker.codec_head": 128, "talker.code_predictor.lm_head.3": 32, "talker.model.text_embedding": 2048} {
		i := slices.IndexFunc(append(plan.Layers, plan.Tables...), func(l qat.LayerPlan) bool { return l.Path == path })
		l := append(plan.Layers, plan.Tables...)[i]
		if s := tensors[path+".weight_scale"].Shape; !slices.Equal(s, []int64{l.Out, l.In / group}) {
			t.Errorf("%s has scales %v, want groups of %d", path, s, group)
		}
	}

	const name = "talker.code_predictor.model.layers.0.self_attn.k_proj"
	var raw, words, scales bytes.Buffer
	if err := stream(&raw, name+".weight", "BF16", 1024*1024, 1); err != nil {
		t.Fatal(err)
	}
	v := make([]float32, 1024*1024)
	for i := range v {
		v[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw.Bytes()[2*i:])) << 16)
	}
	sch := quant.DefaultWeightScheme()
	p, err := quant.InitQParams(v, 1024, 1024, sch, quant.AbsMax)
	if err != nil {
		t.Fatal(err)
	}
	want, err := quant.Pack(v, 1024, 1024, p, sch)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensors[name+".weight_packed"].Stream(&words); err != nil {
		t.Fatal(err)
	}
	if err := tensors[name+".weight_scale"].Stream(&scales); err != nil {
		t.Fatal(err)
	}
	for i, w := range want.Words {
		if got := int32(binary.LittleEndian.Uint32(words.Bytes()[4*i:])); got != w {
			t.Fatalf("word %d is %08x, want %08x", i, got, w)
		}
	}
	for i, s := range want.Params.Scale {
		if got := math.Float32frombits(uint32(binary.LittleEndian.Uint16(scales.Bytes()[2*i:])) << 16); got != s {
			t.Fatalf("scale %d is %v, want %v", i, got, s)
		}
	}
	for _, bad := range []options{{size: "0.6b", kind: "base", out: "x", shards: 1, embeddings: 8}, {size: "0.6b", kind: "base", out: "x", shards: 1, packed: true, embeddings: 3}} {
		if err := bad.validate(); err == nil || !strings.Contains(err.Error(), "want 4 or 8 with -packed") {
			t.Errorf("%+v: error %v", bad, err)
		}
	}
}
