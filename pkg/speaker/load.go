package speaker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// Options of Load.
type Options struct {
	DType  gotch.DType  // of parameters and activations; the zero value means float32. The spectrogram is float32 always
	Device gotch.Device // the zero value means the CPU
}

// Load reads the speaker encoder of a checkpoint folder, single or sharded. It is strict: one error lists all tensors that
// are missing, unexpected or mis-shaped. The rest of the checkpoint is not read. ErrNone is the answer to a checkpoint of
// a kind that has no encoder; a base checkpoint without one is another error.
func Load(dir string, o Options) (*Encoder, error) {
	cfg, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	e, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if o.DType != (Options{}).DType {
		e.DType = o.DType
	}
	if o.Device != (Options{}).Device {
		e.Device = o.Device
	}
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("speaker: %w", err)
	}
	defer src.Close()
	foreign := func(name string) bool { return !strings.HasPrefix(name, prefix) }
	if !slices.ContainsFunc(src.Infos(), func(i ckpt.Info) bool { return !foreign(i.Name) }) {
		return nil, fmt.Errorf("speaker: %s: no tensors %s* though config.json says \"base\", want the original base checkpoint", dir, prefix)
	}
	if err := nn.Load(e, src, nn.LoadOptions{DType: e.DType, Device: e.Device, Ignore: foreign}); err != nil {
		return nil, fmt.Errorf("speaker: %s: %w", dir, err)
	}
	return e, nil
}
