package main

import (
	"testing"

	"github.com/qakd/qakd/pkg/optim"
	"github.com/sugarme/gotch"
)

// What AdamW keeps for all parameters of the talker and its code predictor, with 8-bit moments.
func TestOptimizerMemory(t *testing.T) {
	for size := range talkers {
		var shapes [][]int64
		elements := int64(0)
		for _, x := range talkerTensors(size) {
			n := int64(1)
			for _, d := range x.shape {
				n *= d
			}
			shapes, elements = append(shapes, x.shape), elements+n
		}
		coded := optim.DefaultConfig()
		coded.StateBits, coded.Weights = 8, optim.Stochastic
		full := optim.DefaultConfig()
		have, float := coded.StateBytes(shapes, gotch.BFloat16), full.StateBytes(shapes, gotch.Float)
		perElement, share := float64(have)/float64(elements), float64(have)/float64(float)
		t.Logf("%s: %d parameters, %d MiB of state, %.4f bytes a parameter, %.2f %% of float32's", size, elements, have>>20, perElement, 100*share)
		if perElement > 2.04 {
			t.Errorf("%s: %.4f bytes a parameter, want at most 2.04", size, perElement)
		}
		if share > 0.27 {
			t.Errorf("%s: %.1f %% of the float32 state, want at most 27 %%", size, 100*share)
		}
	}
}
