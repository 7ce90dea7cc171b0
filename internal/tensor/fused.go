package tensor

import (
	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch/ts"
)

// Fuses tells whether RMSNorm and Gated take all of x: on the CPU, of one dtype, float32 or bfloat16, none empty.
func (s *Scope) Fuses(x ...*ts.Tensor) bool {
	s.admit("fuses", x...)
	return shim.Fuses(true, x...)
}

// FusesFloat tells whether Divergence and Attention take all of x: float32 on the CPU, none empty.
func (s *Scope) FusesFloat(x ...*ts.Tensor) bool {
	s.admit("fuses", x...)
	return shim.Fuses(false, x...)
}

// RMSNorm is w · x/√(mean(x²) + eps) over the last dimension of x [..., n], w [n], in one pass; see Fuses. In bfloat16 the
// statistics are float32, and x/√… is rounded before it is multiplied.
func (s *Scope) RMSNorm(x, w *ts.Tensor, eps float64) *ts.Tensor {
	s.admit("rms_norm", x, w)
	t, err := shim.RMSNorm(x, w, eps)
	return s.result("rms_norm", t, err, x, w)
}

// Gated is silu(a)·b of one shape in one pass; see Fuses.
func (s *Scope) Gated(a, b *ts.Tensor) *ts.Tensor {
	s.admit("gated", a, b)
	t, err := shim.Gated(a, b)
	return s.result("gated", t, err, a, b)
}

// Divergence is KL(teacher ‖ student) of each row of logits [..., V], both times f: [...], in nats, in one pass that keeps
// two numbers a row; see FusesFloat. Nothing flows to the teacher.
func (s *Scope) Divergence(teacher, student *ts.Tensor, f float64) *ts.Tensor {
	s.admit("divergence", teacher, student)
	t, err := shim.Divergence(teacher, student, f)
	return s.result("divergence", t, err, teacher, student)
}

// Heads is what Attention takes.
type Heads = shim.Heads

// Attention is softmax(q·kᵀ/√D + mask)·v of normed and rotated heads, [B,T,heads·D], in one function that keeps its inputs
// and two numbers a row and head; see FusesFloat. Head i reads key head i/(heads/kvs). Nothing flows to angles and mask.
func (s *Scope) Attention(h Heads) *ts.Tensor {
	args := []*ts.Tensor{h.Q, h.K, h.V, h.QGain, h.KGain, h.Cos, h.Sin}
	if h.Mask != nil {
		args = append(args, h.Mask)
	}
	s.admit("attention", args...)
	t, err := shim.Attention(h)
	return s.result("attention", t, err, args...)
}
