package talker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/qakd/qakd/internal/native"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
)

// StepperOptions of Steppers.
type StepperOptions struct {
	Threads int    // of native kernels; 0 for as many as libtorch uses
	Kernels string // their name, of native.Kernels; "" for the fastest of this CPU
	// PackedKernels are those of packed projections, by a name of pkg/int4's Kernels or pkg/int8's; "" for the
	// fastest of this CPU.
	PackedKernels string
	Cache         CacheType // of keys and values
	// Pack copies bf16 matrices into 12 bits per weight, without loss: decoding reads a quarter less, for three quarters
	// more memory and half a second at the start (0.6B). It pays for speech, not for a few frames. The copy is that of the
	// moment when the steppers are made; matrices that do not lend themselves to it are read as they are.
	Pack bool
	// Library asks for libtorch's steppers even where native ones would do.
	Library bool
}

// Steppers are the two steppers that decoding needs, of one kind.
type Steppers struct {
	Talker, Predictor Stepper
	Kernels           string         // the native kernels that they run; "" for libtorch's operations
	Why               error          // why they are libtorch's, where they are
	Packed            int64          // bytes of weights packed without loss
	Formats           map[string]int // how many matrices native kernels read in formats of other packages

	native *engine
}

// Steppers decodes with native kernels where they apply, which Native tells, and with libtorch elsewhere; the result says
// which. Native ones read the parameters where they lie, at each Prefill anew, and compute in float32 whatever the
// dtype; their states are float32.
func (m *Model) Steppers(o StepperOptions) (*Steppers, error) {
	why := errors.New("the options ask for it")
	if !o.Library {
		why = m.Native()
	}
	if why != nil {
		return &Steppers{Talker: m.TalkerStepper(), Predictor: m.PredictorStepper(), Why: why}, nil
	}
	if o.Threads == 0 {
		o.Threads = tensor.Threads()
	}
	pool, err := native.NewPool(o.Threads, o.Kernels)
	if err != nil {
		return nil, fmt.Errorf("talker: %w", err)
	}
	e, err := newEngine(m, pool, o)
	if err != nil {
		e.close()
		return nil, fmt.Errorf("talker: native steppers: %w", err)
	}
	return &Steppers{
		Talker:    e.stepper(e.talker, m.Config.Talker.Hidden, &e.spent.Prefill, &e.spent.Steps),
		Predictor: &nativePredictor{*e.stepper(e.predictor, m.Config.Talker.Predictor.Hidden, &e.spent.Frames, &e.spent.Frames)},
		Kernels:   pool.Kernels(),
		Packed:    e.weights.packed(),
		Formats:   e.weights.foreign(),
		native:    e,
	}, nil
}

// String says what computes.
func (s *Steppers) String() string {
	if s.Why != nil {
		return fmt.Sprintf("libtorch (no native kernels: %v)", s.Why)
	}
	text := "native kernels, " + s.Kernels
	for _, form := range slices.Sorted(maps.Keys(s.Formats)) {
		text += fmt.Sprintf(", %d matrices in %s", s.Formats[form], form)
	}
	return text
}

// Spent is the time that native steppers took so far, in all and in the parts of their decoders. Zero for libtorch's.
type Spent struct {
	Prefill, Steps    time.Duration // the talker's prompts; its rows
	Logits            time.Duration // codec_head
	Frames            time.Duration // codes 1 … G-1
	Talker, Predictor native.Spent
}

// Spent says where the time went.
func (s *Steppers) Spent() Spent {
	if s.native == nil {
		return Spent{}
	}
	t := s.native.spent
	t.Talker, t.Predictor = s.native.talker.Spent(), s.native.predictor.Spent()
	return t
}

// Close frees everything but the model.
func (s *Steppers) Close() {
	s.Talker.Close()
	s.Predictor.Close()
	if s.native != nil {
		s.native.close()
	}
}

// Native tells why native steppers do not apply to this model; nil if they do: all of the talker's and the code
// predictor's projections and codec tables are float32 or bf16 matrices on the CPU, or forms that bring kernels of their
// own (pkg/packed's Linear); what is done to inputs is a scale per channel or a Hadamard rotation.
func (m *Model) Native() error {
	if m.Device.Name != gotch.CPU.Name {
		return fmt.Errorf("the model is on device %s, want the CPU", m.Device.Name)
	}
	slots := append(nn.Slots(m.Decoder), m.CodecHead)
	for _, s := range append(slots, nn.Slots(m.Predictor)...) {
		if s.Transform != nil {
			if _, _, err := turning(s); err != nil {
				return err
			}
		}
		switch p := s.P.(type) {
		case form:
		case *nn.Linear:
			if _, err := kindOf(p.W); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is a %T, want a float matrix or a form with kernels", s.Path, s.P)
		}
	}
	for _, e := range append([]*nn.Embedding{m.CodecEmbedding}, m.Predictor.Embeddings...) {
		switch e.T.(type) {
		case form:
		case nil:
			if _, err := kindOf(e.W); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is a %T, want float numbers or a form with rows of its own", e.Path, e.T)
		}
		if e.Kept != nil {
			return fmt.Errorf("%s has rows for some codes only, want all", e.Path)
		}
	}
	return nil
}

// kindOf is the native kind of a parameter's elements.
func kindOf(p *nn.Param) (native.Kind, error) {
	switch {
	case p.T == nil:
		return 0, fmt.Errorf("%s has no value yet", p.Name)
	case p.T.DType() == gotch.Float:
		return native.F32, nil
	case p.T.DType() == gotch.BFloat16:
		return native.BF16, nil
	}
	return 0, fmt.Errorf("%s has dtype %s, want F32 or BF16", p.Name, nn.DTypeName(p.T.DType()))
}
