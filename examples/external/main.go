// External shows QAKD's library in somebody else's program: a plain gotch network, an MLP of gotch's own nn.Linear, is
// trained in float, made quantization-aware with pkg/qat, trained on in INT4, packed, saved and loaded again.
//
//	scripts/setup.sh path/to/external    # in a checkout of QAKD; writes external/go.work
//	cd path/to/external && go run .
//
// You will see the error on new data of the float network, of its INT4 rounding, of the INT4 network after training and
// of the packed file.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"

	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/nn"
	"github.com/sugarme/gotch/ts"
)

func main() {
	out := flag.String("out", "mlp-int4", "folder of the packed network")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "external:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	runtime.LockOSThread() // libtorch keeps its state per thread
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, err := samples(rng, 2048)
	if err != nil {
		return err
	}
	testX, testY, err := samples(rng, 512)
	if err != nil {
		return err
	}

	// An ordinary gotch network, trained as usual.
	vs := nn.NewVarStore(gotch.CPU)
	float, linears := newMLP(vs, 32, 64, 64, 8)
	params := vs.TrainableVariables()
	if _, err := float.train(params, x, y, 400, 1e-2); err != nil {
		return err
	}
	report("float", float.evaluate(testX, testY))

	// The same network with fake-quantized layers: INT4 weights in groups of 32, INT8 activations.
	var quantized []*qat.Linear
	for i, l := range linears {
		q, err := qat.FromFloat(name(i), l, qat.DefaultConfig())
		if err != nil {
			return err
		}
		quantized = append(quantized, q)
	}
	layers := qat.NewLayers(quantized...)
	student, err := network(layers)
	if err != nil {
		return err
	}
	report("int4 rounded", student.evaluate(testX, testY))
	if params, err = qat.Trainable(layers); err != nil {
		return err
	}
	if _, err := student.train(params, x, y, 300, 2e-3); err != nil {
		return err
	}
	trained := student.evaluate(testX, testY)
	report("int4 trained", trained)

	// Packed: two codes a byte, and the same numbers to the bit.
	if err := qat.Convert(layers); err != nil {
		return err
	}
	if _, err := qat.SaveLayers(out, layers); err != nil {
		return err
	}
	loaded, err := qat.LoadLayers(out)
	if err != nil {
		return err
	}
	packed, err := network(loaded)
	if err != nil {
		return err
	}
	reloaded := packed.evaluate(testX, testY)
	report("int4 reloaded", reloaded)
	if math.Float64bits(reloaded) != math.Float64bits(trained) {
		return errors.New("the reloaded network computes something else than the trained one")
	}
	return nil
}

// network is the MLP of the layers layer0, layer1, ...
func network(layers qat.Layers) (mlp, error) {
	var net mlp
	for i := range layers {
		l, err := layers.Layer(name(i))
		if err != nil {
			return nil, err
		}
		net = append(net, l)
	}
	return net, nil
}

func report(what string, loss float64) { fmt.Printf("%-14s mean squared error %.5f\n", what, loss) }

// samples are n points x [n, 32] in the unit cube and a smooth function of them, y [n, 8].
func samples(rng *rand.Rand, n int) (x, y *ts.Tensor, err error) {
	xs, ys := make([][]float32, n), make([][]float32, n)
	for i := range xs {
		xs[i], ys[i] = make([]float32, 32), make([]float32, 8)
		for j := range xs[i] {
			xs[i][j] = 2*rng.Float32() - 1
		}
		for k := range ys[i] {
			var sum float64
			for j, v := range xs[i] {
				sum += float64(v) * math.Cos(float64((j+1)*(k+1)))
			}
			ys[i][k] = float32(math.Sin(sum / 2))
		}
	}
	if x, err = tensor(xs); err != nil {
		return nil, nil, err
	}
	y, err = tensor(ys)
	return x, y, err
}
