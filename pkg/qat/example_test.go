package qat_test

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
)

// A plan needs no weights: what would be quantized, how, and how small it gets.
func ExampleNewPlan() {
	mlp := nn.NewMLP("model.layers.0.mlp", 1024, 3072)
	cfg := qat.DefaultConfig()
	cfg.Exclude = []string{"**.down_proj"}
	plan, err := qat.NewPlan(mlp, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range plan.Layers {
		fmt.Println(l.Path, l.Weight, l.Activation, l.BytesBefore>>10, "->", l.BytesAfter>>10, "KiB")
	}
	fmt.Println("float:", plan.Kept)
	// Output:
	// model.layers.0.mlp.gate_proj int4 sym g32 a8 dynamic token 6144 -> 1728 KiB
	// model.layers.0.mlp.up_proj int4 sym g32 a8 dynamic token 6144 -> 1728 KiB
	// float: [model.layers.0.mlp.down_proj]
}
