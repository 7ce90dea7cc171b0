package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/int4"
	"github.com/qakd/qakd/pkg/report"
)

// Model is a checkpoint at a glance.
type Model struct {
	Dir           string    `json:"dir"`
	Kind          string    `json:"kind"`       // float, student, packed
	ModelType     string    `json:"model_type"` // qwen3_tts
	TTSType       string    `json:"tts_model_type"`
	TTSSize       string    `json:"tts_model_size"`
	TokenizerType string    `json:"tokenizer_type"`
	Files         []File    `json:"files"` // everything in the folder
	WeightFiles   int       `json:"weight_files"`
	WeightBytes   int64     `json:"weight_bytes"` // of them, headers included
	Tensors       int       `json:"tensors"`
	Parameters    int64     `json:"parameters"`
	Parts         []Part    `json:"parts"`
	DTypes        []DType   `json:"dtypes"`
	Config        []Setting `json:"config"`
	Checks        checks    `json:"checks"`
}

// File of the folder, its path relative to it.
type File struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Part of the model, or of what is carried along.
type Part struct {
	Name       string `json:"name"`
	Tensors    int    `json:"tensors"`
	Parameters int64  `json:"parameters"` // scales are none, codes count as the weights that they are
	Bytes      int64  `json:"bytes"`
}

// DType is how much of the file is stored in one element type.
type DType struct {
	Name       string `json:"name"`
	Tensors    int    `json:"tensors"`
	Elements   int64  `json:"elements"`   // as stored: an I32 word is one
	Parameters int64  `json:"parameters"` // that they stand for
	Bytes      int64  `json:"bytes"`
}

// Setting is a key of config.json; nil where a part has no such key.
type Setting struct {
	Key       string `json:"key"`
	Talker    any    `json:"talker"`
	Predictor any    `json:"code_predictor"`
}

// Model looks at the whole. It reads headers only.
func (c *Checkpoint) Model() (*Model, error) {
	files, err := listFiles(c.Dir)
	if err != nil {
		return nil, err
	}
	m := &Model{
		Dir: c.Dir, Kind: c.Kind, ModelType: c.Config.ModelType, TTSType: c.Config.Type, TTSSize: c.Config.Size,
		TokenizerType: c.Config.TokenizerType, Files: files, WeightFiles: len(c.Header.Files), WeightBytes: c.Header.Bytes,
		Tensors: len(c.Header.Infos), Config: settings(c.Config),
	}
	byPart, byDType := map[string]*Part{}, map[string]*DType{}
	for _, info := range c.Header.Infos {
		n := c.params(info)
		m.Parameters += n
		p := entry(byPart, partOf(info.Name).name)
		p.Tensors, p.Parameters, p.Bytes = p.Tensors+1, p.Parameters+n, p.Bytes+info.Bytes
		d := entry(byDType, info.DType)
		d.Tensors, d.Elements, d.Parameters, d.Bytes = d.Tensors+1, d.Elements+info.Elements(), d.Parameters+n, d.Bytes+info.Bytes
	}
	for _, p := range append(slices.Clone(parts), part{name: "unknown"}) {
		if x := byPart[p.name]; x != nil {
			x.Name = p.name
			m.Parts = append(m.Parts, *x)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byDType)) {
		d := byDType[name]
		d.Name = name
		m.DTypes = append(m.DTypes, *d)
	}
	problem := ""
	if err := c.Mismatch(); err != nil {
		problem = strings.TrimPrefix(err.Error(), "ckpt: ")
	}
	m.Checks.want(problem == "", "tensors", "all that the configuration implies, in their shapes, and no other of the talker's", problem)
	if c.Kind == "packed" {
		c.checkInterleaved(&m.Checks)
	}
	return m, nil
}

// checkInterleaved looks at the interleaved file beside a packed checkpoint, and hashes its matrices.
func (c *Checkpoint) checkInterleaved(list *checks) {
	f, err := int4.OpenFile(filepath.Join(c.Dir, int4.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		list.absent("interleaved file", "no "+int4.FileName+": the first who needs it makes it")
		return
	}
	if err != nil {
		list.want(false, "interleaved file", "", err.Error())
		return
	}
	defer f.Close()
	same, err := f.Stamped(c.Dir)
	detail := fmt.Sprintf("%s: %d matrices, %s bytes, of this checkpoint by its stamp", int4.FileName, len(f.Layers()), count(f.Bytes()))
	if !same {
		detail = fmt.Sprintf("%s: %d matrices, %s bytes; the checkpoint was copied or changed since: it is compared when it is next loaded", int4.FileName, len(f.Layers()), count(f.Bytes()))
	}
	if err == nil {
		err = f.Verify()
	}
	list.want(err == nil, "interleaved file", detail, fmt.Sprint(err))
}

func entry[V any](m map[string]*V, key string) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

// Tables prints the view.
func (m *Model) Tables() []*report.Table {
	files := &report.Table{Title: fmt.Sprintf("%s: a %s checkpoint of %s, %s, size %s", m.Dir, m.Kind, m.ModelType, m.TTSType, m.TTSSize),
		Columns: []string{"file", "bytes"}}
	for _, f := range m.Files {
		files.Add(f.Path, count(f.Bytes))
	}
	byPart := &report.Table{Title: "parameters", Columns: []string{"part", "tensors", "parameters", "bytes"}}
	all := Part{}
	for _, p := range m.Parts {
		byPart.Add(p.Name, p.Tensors, count(p.Parameters), count(p.Bytes))
		all.Bytes += p.Bytes
	}
	byPart.Add("all", m.Tensors, count(m.Parameters), count(all.Bytes))
	byDType := &report.Table{Title: "stored as", Columns: []string{"dtype", "tensors", "elements", "parameters", "bytes"}}
	for _, d := range m.DTypes {
		byDType.Add(d.Name, d.Tensors, count(d.Elements), count(d.Parameters), count(d.Bytes))
	}
	config := &report.Table{Title: "config.json", Columns: []string{"key", "talker", "code predictor"}}
	for _, s := range m.Config {
		config.Add(s.Key, plain(s.Talker), plain(s.Predictor))
	}
	return []*report.Table{files, byPart, byDType, config, m.Checks.table()}
}
