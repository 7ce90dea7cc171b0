package talker

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
)

// Share is a second tree over the parameters of m, a loaded float model. A layer or a table that is swapped in the one is not
// in the other, and nothing is copied: the parameters stay m's, so m outlives the second tree, which nobody closes.
func (m *Model) Share() (*Model, error) {
	n, err := New(m.Config)
	if err != nil {
		return nil, err
	}
	n.SetDType(m.DType)
	n.Device = m.Device
	decoders, slots := nn.Decoders(m), nn.Slots(m)
	for i, d := range nn.Decoders(n) {
		d.Rotation = decoders[i].Rotation
	}
	for i, s := range nn.Slots(n) {
		s.Transform = slots[i].Transform
	}
	from, to := nn.Params(m), nn.Params(n)
	if len(from) != len(to) {
		return nil, fmt.Errorf("talker: share: %d parameters, want the %d of a float model", len(from), len(to))
	}
	for i, p := range to {
		if q := from[i]; q.Name != p.Name || q.T == nil {
			return nil, fmt.Errorf("talker: share: parameter %q where a loaded float model has %q", q.Name, p.Name)
		}
		p.T, p.DType = from[i].T, from[i].DType
	}
	return n, nil
}
