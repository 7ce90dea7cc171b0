package qat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
)

// source is the float checkpoint that a saved folder is made from.
type source struct {
	*ckpt.Reader
	dir    string
	config map[string]json.RawMessage
}

func openSource(dir string) (*source, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("qat: source: %w", err)
	}
	config, err := readConfig(data)
	if err != nil {
		return nil, fmt.Errorf("qat: source %s: %w", path, err)
	}
	if config["quantization_config"] != nil || exists(filepath.Join(dir, studentFile)) {
		return nil, fmt.Errorf("qat: source %s is quantized, want the float checkpoint", dir)
	}
	r, err := ckpt.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("qat: source: %w", err)
	}
	return &source{r, dir, config}, nil
}

// dtype is that of a tensor of the source, "" when it has none of the name.
func (s *source) dtype(name string) string {
	info, _ := s.Info(name)
	return info.DType
}

// round makes the float parameters of m hold what the source's dtypes can.
func (s *source) round(m nn.Module) error {
	for _, p := range restParams(m) {
		to := s.dtype(p.Name)
		if p.T == nil || to == "" || p.DType != "" {
			continue
		}
		t, err := narrowed(p.T, to)
		if err != nil {
			return fmt.Errorf("qat: parameter %q: %w", p.Name, err)
		}
		if t != nil {
			p.Set(t)
		}
	}
	return nil
}

// unknownTo are the tensors of the source that m has no parameter for, as they are: the speaker encoder's.
func (s *source) unknownTo(m nn.Module) ([]ckpt.Tensor, error) {
	known := map[string]bool{}
	for _, p := range nn.Params(m) {
		known[p.Name] = true
	}
	for _, slot := range nn.Slots(m) {
		known[slot.Path+".weight"] = true // a packed layer has it under other names
	}
	for _, e := range nn.Embeddings(m) {
		known[e.Path+".weight"] = true
	}
	var out []ckpt.Tensor
	for _, info := range s.Infos() {
		if known[info.Name] {
			continue
		}
		_, data, err := s.Bytes(info.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, ckpt.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	return out, nil
}

// packedConfig is the source's config.json with a quantization_config. Float projections and the modules of carried
// tensors are ignored by it.
func (s *source) packedConfig(m nn.Module, layers, tables []LayerPlan, carried []ckpt.Tensor) ([]byte, error) {
	var ignore []string
	for _, slot := range nn.Slots(m) {
		if _, ok := layerPlan(slot); !ok {
			ignore = append(ignore, slot.Path)
		}
	}
	for _, t := range carried {
		root, _, _ := strings.Cut(t.Name, ".")
		if entry := "re:" + root + `\..*`; !slices.Contains(ignore, entry) {
			ignore = append(ignore, entry)
		}
	}
	q, err := json.Marshal(newQuantizationConfig(layers, tables, ignore, Rotations(m)))
	if err != nil {
		return nil, err
	}
	keys := map[string]json.RawMessage{"quantization_config": q}
	for k, v := range s.config {
		keys[k] = v
	}
	b, err := json.MarshalIndent(keys, "", "  ")
	return append(b, '\n'), err
}

// missing notes what a complete checkpoint has and this source has not.
func (s *source) missing(res *SaveResult) {
	speech := exists(filepath.Join(s.dir, "speech_tokenizer"))
	text := exists(filepath.Join(s.dir, "tokenizer.json")) || exists(filepath.Join(s.dir, "vocab.json"))
	if !speech {
		res.Missing = append(res.Missing, "speech tokenizer (folder speech_tokenizer)")
	}
	if !text {
		res.Missing = append(res.Missing, "text tokenizer (vocab.json and merges.txt)")
	}
	encoder := slices.ContainsFunc(res.CarriedTensors, func(n string) bool { return strings.HasPrefix(n, "speaker_encoder.") })
	if !encoder && s.config["speaker_encoder_config"] != nil {
		res.Missing = append(res.Missing, "speaker encoder (tensors speaker_encoder.*)")
	}
	res.TalkerOnly = !speech && !text
}
