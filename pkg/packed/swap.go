package packed

import (
	"errors"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
)

// SwapOptions of Swap and FromCheckpoint.
type SwapOptions struct {
	// Kernels is a name out of int4.Kernels or int8.Kernels; "" for the fastest of this CPU. A layout that has no such set
	// takes its fastest.
	Kernels string
}

// Left is a quantized layer that stays as it is, and why.
type Left struct {
	Path string
	Why  error
}

// Swap puts projections with our kernels into the slots that hold packed layers, and frees what these held but their
// biases. Layers that no kernels know, or that are not on the CPU, stay: they dequantize their weight at each use by
// libtorch's operations. On a GPU that is correct and saves memory; it has not been tuned. They are named. On an error
// nothing has been changed.
//
// A swapped model infers only: it cannot be saved as a checkpoint or trained.
func Swap(m nn.Module, o SwapOptions) (swapped int, left []Left, err error) {
	slots := nn.Slots(m)
	layers := make([]*Linear, len(slots))
	defer func() {
		if err != nil {
			for _, l := range layers {
				if l != nil {
					l.Close()
				}
			}
		}
	}()
	for i, s := range slots {
		p, ok := s.P.(*qat.Packed)
		if !ok {
			continue
		}
		layers[i], err = o.linear(p)
		var why refused
		switch {
		case errors.As(err, &why):
			left = append(left, Left{s.Path, why.error})
		case err != nil:
			return 0, nil, err
		default:
			swapped++
		}
	}
	if swapped+len(left) == 0 {
		return 0, nil, errors.New("packed: swap: no projection is packed")
	}
	for i, l := range layers {
		if l != nil {
			p := slots[i].P.(*qat.Packed)
			slots[i].P = l
			p.B = nil
			nn.Close(p)
		}
	}
	return swapped, left, nil
}

func (o SwapOptions) linear(p *qat.Packed) (*Linear, error) {
	w, err := weigh(p)
	if err != nil {
		return nil, err
	}
	l, err := NewLinear(p.Path(), w, p.B, o.Kernels)
	if err != nil {
		w.Close()
	}
	return l, err
}

// Free closes the layers that Swap put into m, which must not be used any more.
func Free(m nn.Module) {
	for _, s := range nn.Slots(m) {
		if l, ok := s.P.(*Linear); ok {
			l.Close()
		}
	}
}
