package parity

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/talker"
	"github.com/sugarme/gotch"
)

// Result of a fixture.
type Result struct {
	Passed      int      `json:"passed"`
	Failed      int      `json:"failed"`
	Unsupported []string `json:"unsupported"` // file/name of goldens that nothing here computes
	Inputs      []string `json:"inputs"`      // file/name of goldens that were taken as inputs
	Absent      []string `json:"absent"`      // file/name of goldens whose file, or that of their inputs, is not in the folder
	Checks      []Check  `json:"checks"`
}

// section computes the tensors of one golden file. inputs are patterns (path.Match) of the names that it reads or needs
// nothing of.
type section struct {
	inputs []string
	run    func(c *nn.Context, x *inputs) error
}

var sections = map[string]section{
	"talker.safetensors": {
		inputs: []string{"text_proj.ids", "batch.inputs_embeds", "batch.labels", "*.attention_mask", "mrope3.position_ids", "mrope3.q", "mrope3.k"},
		run:    talkerSection,
	},
	"code_predictor.safetensors": {inputs: []string{"talker_hidden", "codes"}, run: predictorSection},
	"sft.safetensors":            {inputs: []string{"ref_wav", "speaker_embedding", "sample*.text_ids", "sample*.codes"}, run: sftSection},
	"generate.safetensors":       {inputs: []string{"ref_wav", "*.input_ids", "*.instruct_ids", "*.ref_ids"}, run: generateSection},
	"sampling.safetensors":       {inputs: []string{"logits", "h*.history"}, run: samplingSection},
	"speaker.safetensors":        {inputs: []string{"wav", "wav2"}, run: speakerSection},
	"bf16.safetensors":           {run: bf16Section},
	"codec_encode.safetensors":   {inputs: []string{"wav0", "wav1"}, run: encodeSection},
	"codec_decode.safetensors":   {inputs: []string{"codes", "snake.in"}, run: decodeSection},
}

// Run loads dir/checkpoint on the CPU and checks every golden of dir. An error means that there is nothing to compare;
// a tensor that differs is a failed check.
func Run(dir string) (*Result, error) {
	f, err := openFixture(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	res := &Result{Unsupported: []string{}, Inputs: []string{}, Absent: []string{}, Checks: []Check{}}
	got := make(map[string]results)
	for _, file := range sortedKeys(sections) {
		if !f.there[file] {
			continue
		}
		if got[file], err = f.section(sections[file], file); err != nil {
			return nil, err
		}
	}
	for _, e := range f.tensors {
		name := e.File + "/" + e.Name
		s, known := sections[e.File]
		value, ours := got[e.File][e.Name]
		switch {
		case ours:
			res.add(f.check(e, value))
		case known && !f.there[e.File]:
			res.Absent = append(res.Absent, name)
		case known && matches(s.inputs, e.Name):
			res.Inputs = append(res.Inputs, name)
		default:
			res.Unsupported = append(res.Unsupported, name)
		}
	}
	if f.there["sft.safetensors"] { // the norms are of the gradients computed there
		for _, c := range f.checkNorms(got["sft.safetensors"]) {
			res.add(c)
		}
	} else {
		for _, mode := range sortedKeys(f.norms) {
			res.Absent = append(res.Absent, "grad_norms.json/"+mode)
		}
	}
	if len(res.Checks) == 0 && len(res.Absent) > 0 {
		return nil, fmt.Errorf("parity: %s has a manifest, but none of the golden files in it that can be compared", filepath.Dir(f.path("manifest.json")))
	}
	texts, there, err := f.checkText()
	if err != nil {
		return nil, err
	}
	for _, c := range texts {
		res.add(c)
	}
	if !there {
		res.Absent = append(res.Absent, textFile)
	}
	return res, nil
}

func (r *Result) add(c Check) {
	if r.Checks = append(r.Checks, c); c.Pass {
		r.Passed++
	} else {
		r.Failed++
	}
}

// section loads the checkpoint and computes one file's tensors.
func (f *fixture) section(s section, file string) (results, error) {
	dtype := gotch.Float
	if file == "bf16.safetensors" {
		dtype = gotch.BFloat16
	}
	m, err := talker.Load(f.checkpoint(), talker.Options{DType: dtype})
	if err != nil {
		return nil, fmt.Errorf("parity: %w", err)
	}
	defer m.Close()
	out := results{}
	err = nn.Run(func(c *nn.Context) error {
		return s.run(c, &inputs{f: f, c: c, m: m, file: file, out: out})
	})
	if err != nil {
		return nil, fmt.Errorf("parity: %s: %w", file, err)
	}
	return out, nil
}

// names of a golden file in the manifest, nil for none.
func (f *fixture) names(file string) []string {
	var out []string
	for _, e := range f.tensors {
		if e.File == file {
			out = append(out, e.Name)
		}
	}
	return out
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := filepath.Match(p, name)
		return ok && err == nil
	})
}

// gradName is the result under which a section leaves a gradient's norm for checkNorms.
func gradName(mode, param string) string { return "norm " + mode + " " + param }

// checkNorms holds the norms of all gradients against grad_norms.json: within 2e-3 of the value; null means no gradient.
func (f *fixture) checkNorms(got results) []Check {
	const rtol, tiny = 2e-3, 1e-6
	var out []Check
	for _, mode := range sortedKeys(f.norms) {
		for _, param := range sortedKeys(f.norms[mode]) {
			want := f.norms[mode][param]
			if want == nil && !strings.HasPrefix(param, "talker.") {
				continue // frozen parts of other models
			}
			c := Check{File: "grad_norms.json", Name: mode + "/" + param, ATol: rtol * tiny, RTol: rtol}
			ours, ok := got[gradName(mode, param)]
			switch {
			case !ok:
				c.fail("the model has no such parameter")
			case ours.err != nil:
				c.fail(ours.err.Error())
			case want == nil:
				c.ATol, c.RTol = 1e-9, 0
				c.measure(ours, []float64{0}, false)
			default:
				c.measure(ours, []float64{*want}, false)
			}
			out = append(out, c)
		}
	}
	return out
}
