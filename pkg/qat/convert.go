package qat

import (
	"errors"

	"github.com/qakd/qakd/pkg/nn"
)

// Convert swaps the packed form into every slot and embedding that holds a fake-quantized one and frees the masters. The outputs in
// evaluation stay the same, bit for bit. On an error, such as a master that is not finite or an input scale that was
// never set, nothing has been changed. A model without fake-quantized layers is an error.
func Convert(m nn.Module) error {
	slots := nn.Slots(m)
	packed := make([]*Packed, len(slots))
	var errs []error
	var found bool
	for i, s := range slots {
		l, ok := s.P.(*Linear)
		if !ok {
			continue
		}
		found = true
		p, err := l.Pack()
		if err != nil {
			errs = append(errs, err)
		}
		packed[i] = p
	}
	tables := nn.Embeddings(m)
	packedTables, err := packTables(m)
	if err != nil {
		errs = append(errs, err)
	}
	for _, p := range packedTables {
		found = found || p != nil
	}
	if !found {
		return errors.New("qat: convert: nothing is fake-quantized; prepare the model first")
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, p := range packed {
		if p != nil {
			slots[i].P.(*Linear).free()
			slots[i].P = p
		}
	}
	for i, p := range packedTables {
		if p != nil {
			tables[i].T.(*Embedding).free()
			tables[i].T = p
		}
	}
	return nil
}

// free drops the masters; the bias belongs to the packed layer now.
func (l *Linear) free() {
	for _, p := range []*nn.Param{l.W, l.Scale, l.Pre, l.Zero, l.InputScale} {
		if p != nil {
			p.Set(nil)
		}
	}
}
