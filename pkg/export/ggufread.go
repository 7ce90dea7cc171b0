package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
	"github.com/qakd/qakd/pkg/talker"
)

// readGGUF reads a folder of talker.gguf, mmproj.gguf and text.safetensors. The token table and the codec's decoder are
// computed from what lies beside them, and passed over.
func readGGUF(dir string) (*model, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	cfg, err := talker.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, textFile)); err != nil {
		return nil, fmt.Errorf("no %s: the text projection was folded into the token table, from which it cannot be had back", textFile)
	}
	m := &model{}
	g := &ggufReader{model: m, cfg: cfg}
	for _, f := range []struct {
		into **gguf.File
		name string
	}{{&g.head, talkerFile}, {&g.companion, mmprojFile}} {
		file, err := gguf.Open(filepath.Join(dir, f.name))
		if err != nil {
			return m, err
		}
		*f.into, m.closers = file, append(m.closers, file.Close)
	}
	if err := g.settings(); err != nil {
		return m, fmt.Errorf("%s: %w", talkerFile, err)
	}
	if err := g.read(); err != nil {
		return m, err
	}
	src, err := ckpt.Open(filepath.Join(dir, textFile))
	if err != nil {
		return m, err
	}
	m.closers = append(m.closers, src.Close)
	if g.schemes == nil {
		return m, m.takePacked(src, qat.NewPackedConfig(nil, nil, nil))
	}
	return m, m.takePacked(src, g.schemes)
}

type ggufReader struct {
	model           *model
	cfg             *talker.Config
	head, companion *gguf.File
	schemes         *qat.PackedConfig // nil for files of others
	dtypes          map[string]string
}

// settings reads the pairs of our own, and what the file says that it is.
func (g *ggufReader) settings() error {
	if a, _ := g.head.Get("general.architecture"); a != "qwen3tts" {
		return fmt.Errorf("general.architecture is %v, want qwen3tts", a)
	}
	if p, _ := g.companion.Get("clip.gen.audio.projector_type"); p != "qwen3tts_gen" {
		return fmt.Errorf("clip.gen.audio.projector_type of %s is %v, want qwen3tts_gen", mmprojFile, p)
	}
	if v, ok := g.head.Get(schemesKey); ok {
		s, _ := v.(string)
		cfg, err := qat.ParsePackedConfig([]byte(s))
		if err != nil {
			return fmt.Errorf("%s: %w", schemesKey, err)
		}
		g.schemes, g.model.ignore = cfg, cfg.Ignore()
	}
	if v, ok := g.head.Get(dtypesKey); ok {
		s, _ := v.(string)
		if err := json.Unmarshal([]byte(s), &g.dtypes); err != nil {
			return fmt.Errorf("%s: %w", dtypesKey, err)
		}
	}
	return nil
}

func (g *ggufReader) read() error {
	taken := map[string]bool{"token_embd.weight": true}
	var errs []error
	for _, p := range places(g.cfg) {
		f := g.companion
		if p.head {
			f = g.head
		}
		info, ok := f.Info(p.name)
		if !ok && strings.HasPrefix(p.ours[0], "speaker_encoder.") {
			continue // not every checkpoint has one
		}
		taken[p.name] = true
		err := fmt.Errorf("no such tensor")
		if ok {
			err = g.take(f, info, p)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tensor %q: %w", p.name, err))
		}
	}
	for _, info := range slices.Concat(g.head.Tensors, g.companion.Tensors) {
		if !taken[info.Name] && !strings.HasPrefix(info.Name, "a.gen.wav.") {
			errs = append(errs, fmt.Errorf("tensor %q: the configuration has no place for it", info.Name))
		}
	}
	return errors.Join(errs...)
}

// take adds the parts of a tensor.
func (g *ggufReader) take(f *gguf.File, info gguf.Info, p place) error {
	shape, n := info.Shape, int64(len(p.ours))
	if n > 1 {
		if len(shape) != 3 || shape[0] != n {
			return fmt.Errorf("shape %v, want [%d, rows, columns]", shape, n)
		}
		shape = shape[1:]
	}
	for i, name := range p.ours {
		part := &ggufPart{f: f, info: info, from: int64(i) * info.Bytes / n, to: int64(i+1) * info.Bytes / n}
		switch info.Type {
		case gguf.Q4_0, gguf.Q4_1, gguf.Q8_0:
			if len(shape) != 2 {
				return fmt.Errorf("%v of shape %v, want two dimensions", info.Type, shape)
			}
			m, err := g.matrix(part, strings.TrimSuffix(name, ".weight"), shape)
			if err != nil {
				return err
			}
			g.model.matrices = append(g.model.matrices, m)
		case gguf.F32, gguf.F16, gguf.BF16:
			dtype := info.Type.String()
			t := ckpt.Tensor{Name: name, DType: dtype, Shape: shape, Stream: part.write}
			if want := g.dtypes[name]; want != "" && want != dtype {
				t = floatTensor(name, want, func() ([]float32, error) {
					data, err := part.bytes()
					if err != nil {
						return nil, err
					}
					return floats(dtype, data)
				}, shape...)
			}
			g.model.rest = append(g.model.rest, t)
		default:
			return fmt.Errorf("type %v, want F32, F16, BF16, Q4_0, Q4_1 or Q8_0", info.Type)
		}
	}
	return nil
}

// matrix describes blocks; groups of more than 32 are known from our own pairs alone.
func (g *ggufReader) matrix(part *ggufPart, path string, shape []int64) (*matrix, error) {
	kind := part.info.Type
	m := &matrix{path: path, n: shape[0], k: shape[1], table: strings.Contains(path, "_embedding")}
	m.scheme = quant.WeightScheme{Bits: 4, Symmetric: kind != gguf.Q4_1, Granularity: quant.PerGroup, GroupSize: gguf.BlockSize}
	if kind == gguf.Q8_0 {
		m.scheme.Bits = 8
	}
	if g.schemes != nil {
		w, a, table, ok := g.schemes.Find(path)
		if !ok || w.Bits != m.scheme.Bits || w.Symmetric != m.scheme.Symmetric || table != m.table {
			return nil, fmt.Errorf("%v, but %s says %v", kind, schemesKey, w)
		}
		m.scheme, m.activation = w, a
	}
	rows, groups, err := m.scheme.ParamShape(m.n, m.k)
	if err != nil {
		return nil, err
	}
	if m.group()%gguf.BlockSize != 0 {
		return nil, fmt.Errorf("groups of %d, want a multiple of %d", m.group(), gguf.BlockSize)
	}
	m.words = func() ([]int32, error) {
		r, err := part.rows()
		if err != nil {
			return nil, err
		}
		return wordsOf(r.Codes, m.scheme.Bits, kind == gguf.Q8_0), nil
	}
	m.params = func() (quant.QParams, error) {
		r, err := part.rows()
		if err != nil {
			return quant.QParams{}, err
		}
		return blockParams(r, m, rows, groups)
	}
	return m, nil
}

// wordsOf packs codes as they are stored, in rows that fill their words.
func wordsOf(codes []uint8, bits int, signed bool) []int32 {
	per := 32 / bits
	out := make([]int32, len(codes)/per)
	for i, u := range codes {
		if signed {
			u ^= 0x80
		}
		out[i/per] |= int32(uint32(u) << (bits * (i % per)))
	}
	return out
}

// blockParams gathers the scales of blocks into those of groups, which must agree.
func blockParams(r gguf.Rows, m *matrix, rows, groups int64) (quant.QParams, error) {
	p := quant.QParams{Rows: rows, Groups: groups, Scale: make([]float32, rows*groups)}
	if !m.scheme.Symmetric {
		p.ZeroPoint = make([]int32, rows*groups)
	}
	width := int64(len(r.D)) / (rows * groups) // blocks of a group
	for i, d := range r.D {
		j := int64(i) / width
		first := int64(i)%width == 0
		if first {
			p.Scale[j] = d
		}
		z := int32(0)
		if r.M != nil {
			z = int32(-r.M[i] / d)
			if z < 0 || z > 15 || offset(d, z) != r.M[i] {
				return p, fmt.Errorf("%v: offset of block %d is %v with a scale of %v, want a whole multiple from -15 to 0", m, i, r.M[i], d)
			}
			if first {
				p.ZeroPoint[j] = z
			}
		}
		if d != p.Scale[j] || r.M != nil && z != p.ZeroPoint[j] {
			return p, fmt.Errorf("%v: block %d has other parameters than its group", m, i)
		}
	}
	return p, nil
}

// ggufPart is a range of a tensor's bytes.
type ggufPart struct {
	f        *gguf.File
	info     gguf.Info
	from, to int64
}

func (p *ggufPart) bytes() ([]byte, error) {
	data := make([]byte, p.to-p.from)
	return data, p.f.ReadAt(data, p.info.Name, p.from)
}

func (p *ggufPart) write(w io.Writer) error {
	data, err := p.bytes()
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func (p *ggufPart) rows() (gguf.Rows, error) {
	data, err := p.bytes()
	if err != nil {
		return gguf.Rows{}, err
	}
	return gguf.Unpack(p.info.Type, data)
}
