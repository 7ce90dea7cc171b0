package nn

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// mapper makes parameters views of mapped files. It maps each file once for each dtype.
type mapper struct {
	s    *tensor.Scope
	src  ckpt.Source
	opt  LoadOptions
	maps map[mapping]*ts.Tensor
}

type mapping struct {
	path  string
	dtype gotch.DType
}

// view is p as it lies in its file; nil where it must be read: in another dtype, for another device, from a source
// without files, or because the file does not align it.
func (m *mapper) view(p *Param) (out *ts.Tensor, err error) {
	src, ok := m.src.(ckpt.Placer)
	if !ok || !m.opt.Mapped || !isCPU(m.opt.Device) {
		return nil, nil
	}
	info, _, err := src.Bytes(p.Name)
	if err != nil {
		return nil, err
	}
	dtype, err := DTypeOf(info.DType)
	if err != nil || p.DType == "" && dtype != m.opt.DType || info.Bytes == 0 {
		return nil, err
	}
	at, err := src.Place(p.Name)
	size := tensor.ElementSize(dtype)
	if err != nil || at.Offset%size != 0 {
		return nil, err
	}
	defer tensor.Catch(&err)
	key := mapping{at.Path, dtype}
	if m.maps[key] == nil {
		m.maps[key] = m.s.MapFile(at.Path, dtype, at.Size)
	}
	flat := m.s.Narrow(m.maps[key], 0, at.Offset/size, info.Bytes/size)
	return m.s.Release(m.s.Reshape(flat, p.Shape...)), nil
}
