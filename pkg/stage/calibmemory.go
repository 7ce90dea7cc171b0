package stage

import (
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/calib"
	"github.com/qakd/qakd/pkg/demo"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/talker"
)

// CalibrationMemory is what the calibration stage will take, in bytes. The student is there before the first block and
// behind the last one, what a block takes in between: the larger of the two counts.
type CalibrationMemory struct {
	Teacher     int64  `json:"teacher"`     // weights, and those of its rotated copy
	Student     int64  `json:"student"`     // weights as they train, scales
	Results     int64  `json:"results"`     // scales, and codes where the method has its own
	Heap        int64  `json:"heap"`        // codes once more, packed for their file, and as much garbage as the heap bears
	Block       string `json:"block"`       // the part that takes most
	Grams       int64  `json:"grams"`       // its Gram matrices
	Activations int64  `json:"activations"` // of its largest batch, the rows that are looked at included
	Fit         int64  `json:"fit"`         // of its largest layer, when activations are gone
	Idle        int64  `json:"idle"`        // blocks that are kept for the next tensors
	Process     int64  `json:"process"`     // libraries and the program itself
	Total       int64  `json:"total"`

	Inputs     int64  `json:"inputs_on_disk"`     // of two parts
	Statistics int64  `json:"statistics_on_disk"` // of all
	Note       string `json:"note,omitempty"`
}

// CalibrationMemory estimates the stage on the calibration data. m is the model, without storage.
func (r *Run) CalibrationMemory(m *talker.Model, plan *qat.Plan) (*CalibrationMemory, error) {
	e := r.Experiment
	var weights Memory
	if err := weights.weigh(e, m, plan); err != nil {
		return nil, err
	}
	x := &CalibrationMemory{Teacher: size(m, weights.teacher), Student: weights.Student}
	if rotates(e.Calib) { // a copy of it is calibrated
		x.Teacher *= 2
	}
	x.Process, x.Note = process()
	if r.dataless() {
		x.Note = noData
	} else {
		us, err := r.utterances(demo.Calibration)
		if err != nil {
			return nil, err
		}
		batches, err := collate(m.Config, us, e.Eval.Batch)
		if err != nil {
			return nil, err
		}
		x.walk(e, m, plan, batches, tensor.ElementSize(weights.teacher))
	}
	room := int64(0)
	for _, l := range plan.Layers {
		rows, groups, err := l.Weight.ParamShape(l.Out, l.In)
		if err != nil {
			return nil, err
		}
		x.Results += 4 * rows * groups
		if e.Calib.WeightMethod == calib.RoundAuto {
			room = max(room, calib.RoundingBytes(l.In, l.In/groups))
		}
		if e.Calib.RoundsCodes() {
			x.Results += l.Params
			x.Heap += l.Params * int64(l.Weight.Bits) / 8
		}
	}
	x.Heap += x.Results
	x.Fit += room
	x.Total = x.Teacher + x.Results + x.Heap + max(x.Student, x.Grams+max(x.Activations, x.Fit))
	x.Idle = idle(x.Total)
	x.Total += x.Idle + x.Process
	return x, nil
}

// walk finds the part that takes most.
func (x *CalibrationMemory) walk(e Experiment, m *talker.Model, plan *qat.Plan, batches []*talker.Batch, element int64) {
	c := &calibrator{plan: plan}
	width := int64(0) // of what goes on from a part
	for _, p := range m.Parts() {
		var most, rows int64
		for _, b := range batches {
			n := p.Rows(b)
			most, rows = max(most, n), rows+n
		}
		if p.Block != nil {
			width = p.Block.MLP.Down.Out
		}
		x.Inputs = max(x.Inputs, 2*rows*width*element)
		grams, fit, seen := c.needs(e.Calib, p)
		x.Statistics += grams
		activations := int64(0)
		if p.Block != nil {
			activations = most * (rowWidth(p.Block)*element + 4*2*seen + width*element)
			if e.Calib.NeedsGrams() {
				activations += 4 * 3 * seen * seen // a product, on its way into the sum
			}
		}
		if grams+max(activations, fit) > x.Grams+max(x.Activations, x.Fit) {
			x.Block, x.Grams, x.Activations, x.Fit = p.Path, grams, activations, fit
		}
	}
}

// rowWidth is how many numbers a block's tensors have in a row: inputs of its norms, sums and projections, and what these give.
func rowWidth(b *nn.Block) int64 {
	n := 7*b.MLP.Down.Out + b.Attn.O.In + b.MLP.Down.In
	for _, s := range append(append(nn.Group{}, b.Attn.QKV...), b.MLP.GateUp...) {
		n += s.Out
	}
	return n
}

// needs are the bytes of a part's Gram matrices and of the fit of its largest layer, and the widest input that is looked at.
func (c *calibrator) needs(cfg calib.Config, p talker.Part) (grams, fit, seen int64) {
	input := map[*nn.Slot]string{} // of members of a group
	if p.Block != nil {
		for name, g := range map[string]nn.Group{"attention": p.Block.Attn.QKV, "mlp": p.Block.MLP.GateUp} {
			for _, s := range g {
				input[s] = name
			}
		}
	}
	known, slots := map[string]bool{}, c.slots(p)
	for _, s := range slots {
		seen = max(seen, s.In)
		// The weight, its codes and their errors, and what is left of it, as numbers and as tensors.
		layer := 4 * 7 * s.In * s.Out
		if cfg.NeedsGrams() {
			if of := input[s]; !known[of] {
				grams += 4 * s.In * s.In
				known[of] = of != ""
			}
			layer += 4 * 7 * s.In * s.In // the matrix, its inverse's factor, and what is between them
		} else {
			layer *= int64(min(tensor.Threads(), len(slots))) // which are fitted at the same time
		}
		fit = max(fit, layer)
	}
	return grams, fit, seen
}

// Table is the estimate for a person.
func (x *CalibrationMemory) Table() *report.Table {
	t := &report.Table{Title: "memory of the calibration, estimated", Columns: []string{"what", "bytes"}}
	if x.Block != "" {
		t.Title += "; the part that takes most: " + x.Block
	}
	for _, row := range []struct {
		what string
		n    int64
	}{
		{"teacher", x.Teacher}, {"student, before the first and behind the last block", x.Student}, {"scales and codes", x.Results}, {"codes packed, and garbage", x.Heap},
		{"Gram matrices of a block", x.Grams}, {"activations of a block", x.Activations}, {"fit of a layer", x.Fit},
		{"kept for the next tensors", x.Idle}, {"process", x.Process},
		{"total, with the larger of student and block", x.Total},
		{"inputs of two blocks, on disk", x.Inputs}, {"Gram matrices of all blocks, on disk", x.Statistics},
	} {
		if row.n > 0 {
			t.Add(row.what, report.Bytes(row.n))
		}
	}
	if x.Note != "" {
		t.Add("note", x.Note)
	}
	return t
}
