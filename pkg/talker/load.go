package talker

import (
	"fmt"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// Options of Load.
type Options struct {
	DType  gotch.DType  // of float parameters and activations; the zero value means float32
	Device gotch.Device // the zero value means the CPU
	// Swap, if set, replaces projections before the tensors are read, e.g. by packed ones that dir's configuration asks for.
	Swap func(m *Model, dir string) error
	// Mapped lets parameters be views of the mapped checkpoint where they keep its dtype, as float embedding tables then
	// do whatever DType says: nothing of them is read before it is used, processes share the pages, and values that are
	// not finite go unnoticed. For models that speak and do not train.
	Mapped bool
}

// Load reads a checkpoint folder: config.json and its safetensors, single or sharded, in any mixture of float dtypes. It
// is strict: every tensor that the configuration implies must be there, in its shape, and no other. Speaker encoder and
// codec tensors are not the talker's: a checkpoint may have or lack them, and they are not read. A talker that was saved
// alone will do, with or without the prefix "talker." of its tensors' names.
func Load(dir string, o Options) (*Model, error) {
	cfg, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := New(cfg)
	if err != nil {
		return nil, fmt.Errorf("talker: %s: %w", cfg.Path, err)
	}
	if o.DType == (Options{}).DType {
		o.DType = gotch.Float
	}
	if o.Device == (Options{}).Device {
		o.Device = gotch.CPU
	}
	m.SetDType(o.DType)
	m.Device = o.Device
	if o.Swap != nil {
		if err := o.Swap(m, dir); err != nil {
			return nil, fmt.Errorf("talker: %s: %w", dir, err)
		}
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if o.Mapped {
		keepTables(m, prefixed(src))
	}
	if err := nn.Load(m, prefixed(src), nn.LoadOptions{DType: o.DType, Device: o.Device, Ignore: foreign, Mapped: o.Mapped}); err != nil {
		return nil, fmt.Errorf("talker: %s: %w", dir, err)
	}
	return m, nil
}

// SetDType sets the dtype of the activations: of what embeddings give, in whatever form their tables are, and of what goes
// on from there.
func (m *Model) SetDType(dtype gotch.DType) {
	m.DType = dtype
	for _, e := range nn.Embeddings(m) {
		e.DType = dtype
	}
}

// keepTables lets float embedding tables keep the dtype of the file.
func keepTables(m *Model, src tensors) {
	for _, e := range nn.Embeddings(m) {
		info, _, err := src.Bytes(e.W.Name)
		if err == nil && e.T == nil && (info.DType == "BF16" || info.DType == "F32") { // what native decoders read
			e.W.DType = info.DType
		}
	}
}

// foreign tells whether a checkpoint's tensor belongs to the parts that turn audio into codes and vectors.
func foreign(name string) bool {
	for _, part := range []string{"speaker_encoder.", "speech_tokenizer."} {
		if strings.HasPrefix(name, part) {
			return true
		}
	}
	return false
}
