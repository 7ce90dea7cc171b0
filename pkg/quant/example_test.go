package quant_test

import (
	"fmt"

	"github.com/qakd/qakd/pkg/quant"
)

// One row of four weights under one scale: codes, their values, and the packed word.
func ExamplePack() {
	w := []float32{-0.8, 0.35, 0.1, 0.04}
	sch := quant.WeightScheme{Bits: 4, Symmetric: true, Granularity: quant.PerChannel}
	p, err := quant.InitQParams(w, 1, 4, sch, quant.SignedMax)
	if err != nil {
		fmt.Println(err)
		return
	}
	packed, err := quant.Pack(w, 1, 4, p, sch)
	if err != nil {
		fmt.Println(err)
		return
	}
	codes, _ := packed.Codes()
	values, _ := packed.Dequantize()
	fmt.Println("scale", p.Scale[0]) // 0.8 / 8, to 8 significant bits
	fmt.Println("codes", codes)
	fmt.Println("values", values)
	fmt.Printf("word %#x\n", packed.Words[0])
	// Output:
	// scale 0.100097656
	// codes [-8 3 1 0]
	// values [-0.80078125 0.30029297 0.100097656 0]
	// word 0x89b0
}
