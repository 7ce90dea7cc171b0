package main

import (
	"fmt"

	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/sugarme/gotch"
)

// variant is how ours trains.
type variant struct {
	dtype             gotch.DType
	group             int64 // of INT4 weights with INT8 activations per token; 0 for a float step
	weightOnly        bool  // activations stay float
	integer, bf16Back bool
	lesson            teaching
}

// teaching is where a step's teacher is.
type teaching int

const (
	alone         teaching = iota // no teacher
	withF32                       // one of equal size runs in each step
	withBF16                      // so, in bfloat16
	fromF32Logits                 // it ran once
)

// taught tells whether a teacher runs in each step.
func (v variant) taught() bool { return v.lesson == withF32 || v.lesson == withBF16 }

// bf16 tells whether some product of a step has bf16 factors.
func (v variant) bf16() bool {
	return v.dtype == gotch.BFloat16 || v.bf16Back || v.lesson == withBF16
}

// config of the fake quantization; nil for a float step.
func (v variant) config() *qat.Config {
	if v.group == 0 {
		return nil
	}
	c := qat.DefaultConfig()
	c.Weight.GroupSize, c.IntegerForward, c.BF16Backward = v.group, v.integer, v.bf16Back
	if v.weightOnly {
		c.Activation = quant.ActivationScheme{}
	}
	return &c
}

// build makes the student, with random weights of seed 1.
func (v variant) build(s shape) (*model, error) { return newModel(s, v.dtype, 1, v.config()) }

// String tells variants apart, as in "integer KD + W4A8 step g128, f32, bf16 backward, bf16 teacher".
func (v variant) String() string {
	name := "plain step"
	if v.group > 0 {
		name = fmt.Sprintf("W4A8 step g%d", v.group)
	}
	if v.lesson != alone {
		name = "KD + " + name
	}
	if v.integer {
		name = "integer " + name
	}
	name += map[gotch.DType]string{gotch.Float: ", f32", gotch.BFloat16: ", bf16"}[v.dtype]
	if v.bf16Back {
		name += ", bf16 backward"
	}
	return name + []string{"", ", f32 teacher", ", bf16 teacher", ", cached teacher"}[v.lesson]
}
