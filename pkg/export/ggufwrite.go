package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/internal/fsx"
	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// ggufFolder is the format of llama.cpp: the talker, and its companion of code predictor, speaker encoder and codec.
type ggufFolder struct{}

// blockType is the type whose blocks hold a matrix exactly, or why there is none.
func blockType(m *matrix, p quant.QParams) (t gguf.Type, why string) {
	s := m.scheme
	switch {
	case m.k%gguf.BlockSize != 0 || m.group()%gguf.BlockSize != 0:
		return 0, fmt.Sprintf("%d inputs in groups of %d are no whole blocks of %d", m.k, m.group(), gguf.BlockSize)
	case s.Symmetric && s.Bits == 4:
		return gguf.Q4_0, ""
	case s.Symmetric:
		return gguf.Q8_0, ""
	case s.Bits == 8:
		return 0, "int8 with zero points, which no block type holds"
	}
	for i, x := range p.Scale { // the same test for every number of a layer, so that reasons can be told together
		if _, ok := gguf.Half(offset(x, p.ZeroPoint[i])); !ok {
			return 0, "Q4_1 holds -z*s in fp16, which is not exact for some groups"
		}
	}
	return gguf.Q4_1, ""
}

// offset is what Q4_1 adds: -z*s, and 0 rather than -0.
func offset(s float32, z int32) float32 {
	if z == 0 {
		return 0
	}
	return -float32(z) * s
}

func (ggufFolder) refusals(m *model, params func(*matrix) (quant.QParams, error)) (map[*matrix]string, error) {
	out := map[*matrix]string{}
	for _, x := range m.matrices {
		p, err := params(x)
		if err != nil {
			return nil, err
		}
		if x.activation.Mode != quant.ActivationNone {
			out[x] = fmt.Sprintf(weightsAlone, x.activation)
			continue
		}
		if slices.Contains(folded, x.path) {
			continue // it is in the token table, and as it is in text.safetensors
		}
		if _, why := blockType(x, p); why != "" {
			out[x] = why
		}
	}
	return out, nil
}

func (ggufFolder) write(m *model, dir string, o Options, r *Result) error {
	raw, err := m.configWith(nil)
	if err != nil {
		return err
	}
	cfg, err := talker.ParseConfig(raw)
	if err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	for _, t := range m.rest {
		if path, ok := strings.CutSuffix(t.Name, ".kept_ids"); ok {
			return fmt.Errorf("the format has no place for a pruned vocabulary: its tokenizer would give ids that %s has no rows for", path)
		}
	}
	w := &ggufWriter{model: m, cfg: cfg, taken: map[string]bool{}, dtypes: map[string]string{}, kinds: map[gguf.Type]int64{}, result: r}
	if err := w.tensors(); err != nil {
		return err
	}
	if err := w.text(dir); err != nil {
		return err
	}
	if err := w.codec(); err != nil {
		return err
	}
	if err := w.complete(); err != nil {
		return err
	}
	head, err := w.headPairs()
	if err != nil {
		return err
	}
	if err := gguf.Write(filepath.Join(dir, talkerFile), head, w.head); err != nil {
		return err
	}
	companion, err := w.companionPairs()
	if err != nil {
		return err
	}
	if err := gguf.Write(filepath.Join(dir, mmprojFile), companion, w.companion); err != nil {
		return err
	}
	w.notes()
	return fsx.WriteBytes(filepath.Join(dir, "config.json"), raw)
}

type ggufWriter struct {
	model           *model
	cfg             *talker.Config
	head, companion []gguf.Tensor
	taken           map[string]bool // tensors of the checkpoint, by name, and matrices as their weight
	dtypes          map[string]string
	kinds           map[gguf.Type]int64 // numbers of each
	result          *Result
}

func (w *ggufWriter) speaker() bool { return w.model.restTensor("speaker_encoder.fc.weight") != nil }

// tensors places what has a place of its own.
func (w *ggufWriter) tensors() error {
	for _, p := range places(w.cfg) {
		if strings.HasPrefix(p.ours[0], "speaker_encoder.") && !w.speaker() {
			continue
		}
		t, err := w.tensor(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if p.head {
			w.head = append(w.head, t)
		} else {
			w.companion = append(w.companion, t)
		}
	}
	return nil
}

// tensor is the tensor of a place, from one part or from several of the same type and shape.
func (w *ggufWriter) tensor(p place) (gguf.Tensor, error) {
	var parts []gguf.Tensor
	for _, name := range p.ours {
		t, err := w.part(name)
		if err != nil {
			return t, err
		}
		if len(parts) > 0 && (t.Type != parts[0].Type || !slices.Equal(t.Shape, parts[0].Shape)) {
			return t, fmt.Errorf("%q is %v %v beside %v %v: parts of one tensor must be alike", name, t.Type, t.Shape, parts[0].Type, parts[0].Shape)
		}
		parts = append(parts, t)
	}
	t := gguf.Tensor{Name: p.name, Type: parts[0].Type, Shape: parts[0].Shape}
	if len(parts) > 1 {
		t.Shape = append([]int64{int64(len(parts))}, t.Shape...)
	}
	t.Stream = func(to io.Writer) error {
		for _, x := range parts {
			if err := x.Stream(to); err != nil {
				return err
			}
		}
		return nil
	}
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	w.kinds[t.Type] += n
	return t, nil
}

// part is a tensor of the checkpoint, with codes in blocks, or with numbers that keep their values: vectors and
// convolutions in F32, other weights in the dtype that they have.
func (w *ggufWriter) part(name string) (t gguf.Tensor, err error) {
	w.taken[name] = true
	if m := w.model.find(strings.TrimSuffix(name, ".weight")); m != nil {
		p, err := m.params()
		if err != nil {
			return t, err
		}
		kind, why := blockType(m, p)
		if why != "" {
			return t, fmt.Errorf("%v: %s", m, why)
		}
		return gguf.Tensor{Type: kind, Shape: []int64{m.n, m.k}, Stream: func(to io.Writer) error { return writeBlocks(to, m, kind) }}, nil
	}
	x := w.model.restTensor(name)
	if x == nil {
		return t, fmt.Errorf("the checkpoint has no tensor %q", name)
	}
	dtype := x.DType
	if len(x.Shape) != 2 {
		dtype = "F32"
	}
	if t.Type, err = plainType(dtype); err != nil {
		return t, fmt.Errorf("tensor %q: %w", name, err)
	}
	t.Shape = x.Shape
	t.Stream = x.Stream
	if dtype != x.DType {
		w.dtypes[name] = x.DType
		t.Stream = func(to io.Writer) error {
			v, err := values(x)
			if err != nil {
				return err
			}
			b, err := exact(dtype, v)
			if err != nil {
				return err
			}
			_, err = to.Write(b)
			return err
		}
	}
	return t, nil
}

func plainType(dtype string) (gguf.Type, error) {
	if dtype != "F32" && dtype != "F16" && dtype != "BF16" {
		return 0, fmt.Errorf("dtype %s, want F32, F16 or BF16", dtype)
	}
	t, _ := gguf.TypeOf(dtype)
	return t, nil
}

// content is a tensor's data.
func content(t *ckpt.Tensor) ([]byte, error) {
	if t.Stream == nil {
		return t.Data, nil
	}
	var b bytes.Buffer
	err := t.Stream(&b)
	return b.Bytes(), err
}

// values are a tensor's numbers.
func values(t *ckpt.Tensor) ([]float32, error) {
	b, err := content(t)
	if err != nil {
		return nil, err
	}
	x, err := floats(t.DType, b)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return x, nil
}

// writeBlocks writes a matrix some rows at a time.
func writeBlocks(to io.Writer, m *matrix, kind gguf.Type) error {
	words, err := m.checkedWords()
	if err != nil {
		return err
	}
	p, err := m.params()
	if err != nil {
		return err
	}
	p = m.spread(p)
	const rows = 64
	per := int64(len(words)) / m.n
	blocks, groups := m.k/gguf.BlockSize, int64(len(p.Scale))/m.n
	for from := int64(0); from < m.n; from += rows {
		n := min(rows, m.n-from)
		u, err := unsigned(words[from*per:(from+n)*per], n, m.k, m.scheme.Bits, kind == gguf.Q8_0)
		if err != nil {
			return err
		}
		r := gguf.Rows{Codes: u}
		for row := from; row < from+n; row++ {
			for b := range blocks {
				g := row*groups + b*groups/blocks
				r.D = append(r.D, p.Scale[g])
				if kind == gguf.Q4_1 {
					r.M = append(r.M, offset(p.Scale[g], p.ZeroPoint[g]))
				}
			}
		}
		data, err := gguf.Pack(kind, r)
		if err != nil {
			return fmt.Errorf("%v: rows from %d on: %w", m, from, err)
		}
		if _, err := to.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// unsigned are the codes in words of n rows of k, as they are stored, or with signed as two's complement bytes.
func unsigned(words []int32, n, k int64, bits int, signed bool) ([]uint8, error) {
	per := int64(32 / bits)
	if k%per != 0 {
		return nil, fmt.Errorf("rows of %d, want a multiple of %d", k, per)
	}
	out := make([]uint8, 0, n*k)
	for _, w := range words {
		for j := range per {
			u := uint8(uint32(w) >> (int64(bits) * j) & (1<<bits - 1))
			if signed {
				u ^= 0x80
			}
			out = append(out, u)
		}
	}
	return out, nil
}

// text writes what folding loses, as it is, and the token table that it is folded into.
func (w *ggufWriter) text(dir string) error {
	var list []ckpt.Tensor
	for _, path := range folded {
		if m := w.model.find(path); m != nil {
			w.taken[path+".weight"] = true
			p, err := m.params()
			if err != nil {
				return err
			}
			list = append(list, packedTensors(m, narrowest(p.Scale))...)
		}
		for _, name := range []string{path + ".weight", path + ".bias"} {
			if t := w.model.restTensor(name); t != nil {
				w.taken[name] = true
				list = append(list, *t)
			}
		}
	}
	if err := ckpt.Write(filepath.Join(dir, textFile), list, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	t, err := w.tokenTable()
	w.head = append([]gguf.Tensor{t}, w.head...)
	return err
}

// complete refuses a checkpoint with tensors that have no place.
func (w *ggufWriter) complete() error {
	var left []string
	for _, t := range w.model.rest {
		if !w.taken[t.Name] {
			left = append(left, t.Name)
		}
	}
	for _, m := range w.model.matrices {
		if !w.taken[m.path+".weight"] {
			left = append(left, m.path+".weight")
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("no place in the format for %s", strings.Join(left, ", "))
	}
	return nil
}

// own are the pairs that importing needs and llama.cpp does not.
func (w *ggufWriter) own() ([]gguf.Pair, error) {
	schemes, err := json.Marshal(w.model.packedConfig())
	if err != nil {
		return nil, err
	}
	dtypes, err := json.Marshal(w.dtypes)
	if err != nil {
		return nil, err
	}
	return []gguf.Pair{{Key: schemesKey, Value: string(schemes)}, {Key: dtypesKey, Value: string(dtypes)}}, nil
}
