package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// Options of Load.
type Options struct {
	// DType of parameters and activations; the zero value means float32. Distances to code vectors are float32 anyway.
	DType  gotch.DType
	Device gotch.Device // the zero value means the CPU
	Parts  Parts        // what is read from the disk; the zero value means both
}

// Load reads a speech_tokenizer folder: config.json and its safetensors. It is strict: every tensor that the
// configuration implies must be there, in its shape, and no other; except the projections and marks that only the
// training of a quantizer needs, which may be absent.
func Load(dir string, o Options) (*Codec, error) {
	cfg, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := New(cfg, o.Parts)
	if err != nil {
		return nil, fmt.Errorf("codec: %s: %w", cfg.Path, err)
	}
	if o.DType == (Options{}).DType {
		o.DType = gotch.Float
	}
	if o.DType != gotch.Float && o.DType != gotch.BFloat16 && o.DType != gotch.Double {
		return nil, fmt.Errorf("codec: dtype %v, want Float, BFloat16 or Double", o.DType)
	}
	if o.Device == (Options{}).Device {
		o.Device = gotch.CPU
	}
	m.DType, m.Device = o.DType, o.Device
	src, err := ckpt.Open(dir)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	m.forget(src.Infos())
	if err := nn.Load(m, src, nn.LoadOptions{DType: o.DType, Device: o.Device, Ignore: m.foreign}); err != nil {
		return nil, fmt.Errorf("codec: %s: %w", dir, err)
	}
	return m, nil
}

// foreign tells whether a tensor belongs to the half that was not asked for.
func (m *Codec) foreign(name string) bool {
	return m.Encoder == nil && strings.HasPrefix(name, "encoder.") || m.Decoder == nil && strings.HasPrefix(name, "decoder.")
}

// forget drops the parameters that are not needed and that the source lacks.
func (m *Codec) forget(have []ckpt.Info) {
	there := make(map[string]bool, len(have))
	for _, info := range have {
		there[info.Name] = true
	}
	var qs []*quantizer
	if m.Encoder != nil {
		qs = append(qs, m.Encoder.semantic, m.Encoder.acoustic)
	}
	if m.Decoder != nil {
		qs = append(qs, m.Decoder.first, m.Decoder.rest)
	}
	for _, q := range qs {
		q.unused = slices.DeleteFunc(q.unused, func(p *nn.Param) bool { return !there[p.Name] })
	}
}

// Save writes a complete speech_tokenizer folder, which replaces an existing one: the configuration as it was read, the
// parameters, float32 ones as dtype ("F32", "BF16"; "" keeps float32), and the description of the input for the
// reference implementation. Both halves must be there.
func (m *Codec) Save(dir, dtype string) error {
	if m.Encoder == nil || m.Decoder == nil {
		return errors.New("codec: save: one half is not loaded, want both: a folder with one is no speech tokenizer")
	}
	cfg := m.Config.Raw
	if cfg == nil {
		var err error
		if cfg, err = json.MarshalIndent(m.Config, "", "  "); err != nil {
			return fmt.Errorf("codec: save: %w", err)
		}
	}
	input := fmt.Sprintf(`{
  "chunk_length_s": null,
  "feature_extractor_type": "EncodecFeatureExtractor",
  "feature_size": 1,
  "overlap": null,
  "padding_side": "right",
  "padding_value": 0.0,
  "return_attention_mask": true,
  "sampling_rate": %d
}
`, m.Config.InputRate)
	err := fsx.ReplaceDir(dir, func(tmp string) error {
		if err := nn.Save(filepath.Join(tmp, "model.safetensors"), m, dtype, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		if err := fsx.WriteBytes(filepath.Join(tmp, "preprocessor_config.json"), []byte(input)); err != nil {
			return err
		}
		return fsx.WriteBytes(filepath.Join(tmp, "config.json"), cfg) // last: a folder with it is complete
	})
	if err != nil {
		return fmt.Errorf("codec: save %s: %w", dir, err)
	}
	return nil
}
