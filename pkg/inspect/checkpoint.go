package inspect

import (
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/talker"
)

// Checkpoint is what a folder's settings and headers say.
type Checkpoint struct {
	Dir    string
	Kind   string // "float", "student" or "packed"; see qat.Kind
	Config *talker.Config
	Header *ckpt.Header

	model *talker.Model // declared from the configuration, without storage
	slots map[string]*nn.Slot
	// matrices are the projections and, as slots that hold nothing, the embeddings: what may be packed.
	matrices map[string]*nn.Slot
	infos    map[string]ckpt.Info
}

// Open reads config.json and the headers of the safetensors files of a folder, and no tensor data. A missing or corrupt
// file is an error that names it. Tensors that are missing or have another shape are a finding; see Mismatch.
func Open(dir string) (*Checkpoint, error) {
	cfg, err := talker.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := talker.New(cfg)
	if err != nil {
		return nil, err
	}
	kind, err := qat.Kind(dir)
	if err != nil {
		return nil, err
	}
	head, err := ckpt.HeaderOnly(dir)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{
		Dir: dir, Kind: kind, Config: cfg, Header: head,
		model: m, slots: map[string]*nn.Slot{}, matrices: map[string]*nn.Slot{}, infos: map[string]ckpt.Info{},
	}
	for _, s := range nn.Slots(m) {
		c.slots[s.Path], c.matrices[s.Path] = s, s
	}
	for _, e := range nn.Embeddings(m) {
		c.matrices[e.Path] = &nn.Slot{Path: e.Path, Out: e.W.Shape[0], In: e.W.Shape[1]}
	}
	for _, info := range head.Infos {
		c.infos[info.Name] = info
	}
	return c, nil
}

// Tensors beside the weight of a quantized projection; packed ones have the first two.
var beside = []string{".weight_scale", ".weight_shape", ".weight_zero_point", ".input_scale"}

// packed is the tensor that holds the codes of a matrix, and their bits; ok is false where the matrix is float
// or fake-quantized, or where the words fit no number of bits.
func (c *Checkpoint) packed(s *nn.Slot) (info ckpt.Info, bits int64, ok bool) {
	info, ok = c.infos[s.Path+".weight_packed"]
	if !ok || len(info.Shape) != 2 || info.DType != "I32" {
		return info, 0, false
	}
	for _, bits := range []int64{4, 8} {
		if per := 32 / bits; info.Shape[1] == (s.In+per-1)/per {
			return info, bits, true
		}
	}
	return info, 0, false
}

// stored are the tensors of a matrix that the file should have. Scales are as the file has them: their
// shape is the scheme's affair.
func (c *Checkpoint) stored(s *nn.Slot) []ckpt.Info {
	want := []ckpt.Info{{Name: s.Path + ".weight", Shape: []int64{s.Out, s.In}}}
	_, _, packed := c.packed(s)
	if packed {
		info, _, _ := c.packed(s)
		want = []ckpt.Info{{Name: info.Name, Shape: []int64{s.Out, info.Shape[1]}}}
	}
	for i, suffix := range beside {
		info, there := c.infos[s.Path+suffix]
		switch {
		case there && c.Kind != "float":
			want = append(want, info)
		case packed && i < 2:
			want = append(want, ckpt.Info{Name: s.Path + suffix})
		}
	}
	return want
}

// Mismatch is nil when the file has every tensor that the configuration implies, in its shape, and no other of the
// talker's; otherwise a *ckpt.MismatchError that lists all differences. Speaker encoder and speech tokenizer may be
// there or not.
func (c *Checkpoint) Mismatch() error {
	have := slices.DeleteFunc(slices.Clone(c.Header.Infos), func(i ckpt.Info) bool { return partOf(i.Name).foreign })
	var want []ckpt.Info
	for _, p := range nn.Params(c.model) {
		path, weight := strings.CutSuffix(p.Name, ".weight")
		if s := c.matrices[path]; s != nil && weight {
			want = append(want, c.stored(s)...)
		} else {
			want = append(want, ckpt.Info{Name: p.Name, Shape: p.Shape})
		}
	}
	return ckpt.Check(have, want)
}

// params is the number of parameters that a tensor stands for: codes count by the weights that they are, scales and
// shapes not at all.
func (c *Checkpoint) params(info ckpt.Info) int64 {
	for _, suffix := range beside {
		if path, ok := strings.CutSuffix(info.Name, suffix); ok && c.matrices[path] != nil {
			return 0
		}
	}
	if path, ok := strings.CutSuffix(info.Name, ".weight_packed"); ok && c.matrices[path] != nil {
		return c.matrices[path].Out * c.matrices[path].In
	}
	if info.Name == talker.KeptIDs {
		return 0
	}
	return info.Elements()
}
