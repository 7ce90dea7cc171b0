package talker

import "fmt"

// None is the absent text or codec id of a row; Ignore is the label of a row that predicts nothing.
const (
	None   = -1
	Ignore = -100
)

// Row is one row of the talker's input: the sum of what it has.
type Row struct {
	Text    int32   // text token, or None
	Codec   int32   // codec token without further codes: control token, language, preset speaker; or None
	Codes   []int32 // all G codes of one frame, or nil; the frame is given, not predicted, where Label is Ignore
	Speaker bool    // the sequence's speaker vector
	Label   int32   // code 0 or end token that this row is, which the row before predicts; or Ignore
}

// Sequence is the rows of one utterance.
type Sequence struct {
	ID      string
	Rows    []Row
	Speaker []float32 // [H], for rows with a speaker slot
}

// Side is where Collate pads.
type Side int

// Training pads on the right; generation on the left, so that all sequences end together.
const (
	PadRight Side = iota
	PadLeft
)

// Batch is sequences of one padded length, as dense Go slices numbered b·T + t.
type Batch struct {
	B, T  int
	IDs   []string  // [B]
	Mask  []int64   // [B·T], 1 where a row is real
	Text  []int64   // [B·T], None where absent
	Codec []int64   // [B·T], None where absent
	Label []int64   // [B·T], Ignore where absent
	Frame []int64   // flat numbers of the rows that are labelled frames, in order
	Codes [][]int32 // the codes of these frames, [len(Frame)][G]

	Given      []int64   // flat numbers of the rows that are frames without label: those of a reference
	GivenCodes [][]int32 // the codes of these frames, [len(Given)][G]

	SpeakerRow []int64   // flat numbers of the rows with a speaker vector
	Speaker    []float32 // these vectors, [len(SpeakerRow)·H]

	groups int // codes of a frame; 0 before the first
}

// Collate pads sequences to the longest.
func Collate(seqs []Sequence, side Side) (*Batch, error) {
	b := &Batch{B: len(seqs)}
	for _, s := range seqs {
		b.T = max(b.T, len(s.Rows))
	}
	if b.T == 0 {
		return nil, fmt.Errorf("talker: a batch of %d sequences has no rows, want at least one", len(seqs))
	}
	n := b.B * b.T
	b.Mask = make([]int64, n)
	b.Text, b.Codec, b.Label = filled(n, None), filled(n, None), filled(n, Ignore)
	for i, s := range seqs {
		at := i * b.T
		if side == PadLeft {
			at += b.T - len(s.Rows)
		}
		b.IDs = append(b.IDs, s.ID)
		if err := b.add(at, s); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *Batch) add(at int, s Sequence) error {
	for t, r := range s.Rows {
		i := at + t
		b.Mask[i], b.Text[i], b.Codec[i], b.Label[i] = 1, int64(r.Text), int64(r.Codec), int64(r.Label)
		if r.Codes != nil {
			if b.groups == 0 {
				b.groups = len(r.Codes)
			}
			if len(r.Codes) != b.groups {
				return fmt.Errorf("talker: %q row %d has %d codes, want %d as other frames", s.ID, t, len(r.Codes), b.groups)
			}
			if r.Label == Ignore {
				b.Given, b.GivenCodes = append(b.Given, int64(i)), append(b.GivenCodes, r.Codes)
			} else {
				b.Frame, b.Codes = append(b.Frame, int64(i)), append(b.Codes, r.Codes)
			}
		}
		if r.Speaker {
			if len(s.Speaker) == 0 {
				return fmt.Errorf("talker: %q row %d takes a speaker vector, but the sequence has none", s.ID, t)
			}
			b.SpeakerRow, b.Speaker = append(b.SpeakerRow, int64(i)), append(b.Speaker, s.Speaker...)
		}
	}
	return nil
}

func filled(n int, v int64) []int64 {
	s := make([]int64, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// Positions are the rotary positions [B·T]: the number of real rows before, and 1 at padding.
func (b *Batch) Positions() []int64 { return positions(b.Mask, b.B, b.T) }

// TargetRows are the flat numbers of the rows whose hidden state predicts a labelled next row; Targets are those labels.
func (b *Batch) TargetRows() []int64 { rows, _ := b.targets(1); return rows }

// Targets are the labels (code 0, or the end token) that TargetRows predict.
func (b *Batch) Targets() []int64 { _, labels := b.targets(1); return labels }

// targets pairs each labelled row with the row that stands ahead rows before it.
func (b *Batch) targets(ahead int) (rows, labels []int64) {
	for i := range b.B {
		for t := ahead; t < b.T; t++ {
			k := int64(i*b.T + t)
			if b.Label[k] != Ignore {
				rows, labels = append(rows, k-int64(ahead)), append(labels, b.Label[k])
			}
		}
	}
	return rows, labels
}

// ConditionRows are the flat numbers of the rows before each labelled frame, whose hidden states condition the code
// predictor. They go with FrameCodes.
func (b *Batch) ConditionRows() []int64 { return b.conditions(1) }

func (b *Batch) conditions(before int64) []int64 {
	rows := make([]int64, len(b.Frame))
	for i, k := range b.Frame {
		rows[i] = k - before
	}
	return rows
}

// FrameCodes are all labelled frames' codes, [N·G], in batch-major order.
func (b *Batch) FrameCodes() []int64 { return flat(b.Codes) }

func flat(codes [][]int32) []int64 {
	var out []int64
	for _, f := range codes {
		for _, c := range f {
			out = append(out, int64(c))
		}
	}
	return out
}

// Tokens is the number of real rows.
func (b *Batch) Tokens() int64 {
	n := int64(0)
	for _, v := range b.Mask {
		n += v
	}
	return n
}
