package int4

import (
	"errors"
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/sugarme/gotch"
)

// SwapOptions of Swap.
type SwapOptions struct {
	Kernels string // a name out of [Kernels]; "" for the fastest of this CPU
}

// Left is a quantized layer that stays as it is, and why.
type Left struct {
	Path string
	Why  error
}

// Swap puts projections with our kernels into the slots that hold packed layers, and frees what these held but their
// biases. Layers that the kernels do not know, or that are not on the CPU, stay: they dequantize their weight at each use by
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
		if why := refuses(p); why != nil {
			left = append(left, Left{s.Path, why})
			continue
		}
		if layers[i], err = o.linear(p); err != nil {
			return 0, nil, err
		}
		swapped++
	}
	if swapped+len(left) == 0 {
		return 0, nil, errors.New("int4: swap: no projection is packed")
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

// refuses tells why the kernels cannot compute with a layer.
func refuses(p *qat.Packed) error {
	if err := known(p); err != nil {
		return err
	}
	d, err := p.Scale.T.Device()
	if err == nil && d.Name != gotch.CPU.Name {
		err = fmt.Errorf("int4: weight on device %s, want the CPU", d.Name)
	}
	return err
}

func (o SwapOptions) linear(p *qat.Packed) (*Linear, error) {
	m, err := FromPacked(p)
	if err != nil {
		return nil, err
	}
	l, err := NewLinear(p.Path(), m, p.B, o.Kernels)
	if err != nil {
		m.Close()
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
