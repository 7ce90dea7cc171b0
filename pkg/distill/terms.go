package distill

import (
	"math"

	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// klRows is Σ p_t·(log p_t - log p_s) over the last dimension of float32 logits [..., V], at temperature T and without
// the factor T²: [...], in nats. It is 0 where both are equal.
func klRows(c *nn.Context, teacher, student *ts.Tensor, temperature float64) *ts.Tensor {
	if c.FusesFloat(teacher, student) && !(tensor.GradEnabled() && records(c, teacher)) {
		return c.Divergence(teacher, student, 1/temperature)
	}
	return compositeKL(c, teacher, student, temperature)
}

// records tells whether gradients flow to x.
func records(c *nn.Context, x *ts.Tensor) bool {
	on, err := x.RequiresGrad()
	c.Check("requires_grad", err)
	return on
}

// compositeKL is klRows in tensor operations: what other devices compute, and what tests compare with.
func compositeKL(c *nn.Context, teacher, student *ts.Tensor, temperature float64) *ts.Tensor {
	if temperature != 1 {
		teacher, student = c.DivScalar(teacher, temperature), c.DivScalar(student, temperature)
	}
	lt, ls := c.LogSoftmax(teacher, -1), c.LogSoftmax(student, -1)
	return c.SumDim(c.Mul(c.Exp(lt), c.Sub(lt, ls)), false, -1)
}

// top is the k most likely classes of each row at some temperature, and how likely all others together are.
type top struct {
	ids  *ts.Tensor // [..., k] int64
	logp *ts.Tensor // [..., k] float32
	tail *ts.Tensor // [...] float32, log of what remains; at least -never
}

// never stands for the logarithm of 0: finite, so that 0·log 0 is 0.
const never = 1e30

// topOf keeps the k most likely classes of float32 logits [..., V], or all.
func topOf(c *nn.Context, logits *ts.Tensor, k int64, temperature float64) top {
	size := c.Shape(logits)
	logp := c.LogSoftmax(c.DivScalar(logits, temperature), -1)
	best, ids := c.Topk(logp, min(k, size[len(size)-1]), -1)
	return top{ids, best, others(c, logp, ids)}
}

// others is the log of the probability of all classes but ids, from log probabilities [..., V]: [...].
func others(c *nn.Context, logp, ids *ts.Tensor) *ts.Tensor {
	hidden := c.ToDevice(c.Full(logp.DType(), -never, c.Shape(ids)...), c.Device(logp))
	return c.Clamp(c.Must(c.Scatter(logp, -1, ids, hidden).Logsumexp([]int64{-1}, false, false)), -never, math.Inf(1))
}

// bucketKLRows is KL between distributions that tell only the teacher's top classes K apart, with all others τ as one
// more class: Σ_K p·log(p/q) + p_τ·log(p_τ/q_τ), [...], against float32 logits [..., V] at the temperature of the top. It
// renormalizes nothing. It falls short of klRows by p_τ times the KL inside of τ, so it is never more; inside of τ it asks
// for nothing: the gradient by student logit j is q_j - p_j in K, and q_j - p_τ·q_j/q_τ outside.
func bucketKLRows(c *nn.Context, teacher top, student *ts.Tensor, temperature float64) *ts.Tensor {
	if temperature != 1 {
		student = c.DivScalar(student, temperature)
	}
	logq := c.LogSoftmax(student, -1)
	within := c.SumDim(c.Mul(c.Exp(teacher.logp), c.Sub(teacher.logp, c.Gather(logq, -1, teacher.ids))), false, -1)
	beyond := c.Mul(c.Exp(teacher.tail), c.Sub(teacher.tail, others(c, logq, teacher.ids)))
	return c.Add(within, beyond)
}

// eosLogit is the logit of "speech ends here" against "it goes on", [n], from reachable logits [n, V+1]: the end's logit
// minus log Σ exp of the others.
func eosLogit(c *nn.Context, logits *ts.Tensor) *ts.Tensor {
	V := c.Shape(logits)[1] - 1
	rest := c.Narrow(logits, 1, 0, V)
	most := c.Detach(c.Amax(rest, true, 1))
	sum := c.Log(c.SumDim(c.Exp(c.Sub(rest, most)), true, 1))
	return c.Squeeze(c.Sub(c.Narrow(logits, 1, V, 1), c.Add(most, sum)), 1)
}

// binaryKLRows is KL between two coins given by their logits [n]: [n].
func binaryKLRows(c *nn.Context, teacher, student *ts.Tensor) *ts.Tensor {
	logSigmoid := func(x *ts.Tensor) *ts.Tensor { return c.Must(x.LogSigmoid(false)) }
	yes := c.Mul(c.Sigmoid(teacher), c.Sub(logSigmoid(teacher), logSigmoid(student)))
	nt, ns := c.Neg(teacher), c.Neg(student)
	return c.Add(yes, c.Mul(c.Sigmoid(nt), c.Sub(logSigmoid(nt), logSigmoid(ns))))
}

// hiddenRows is ‖h_s - h_t‖² / ‖h_t‖² of each row of [n,H]: the mean squared error in units of the teacher's mean square.
func hiddenRows(c *nn.Context, teacher, student *ts.Tensor) *ts.Tensor {
	t, s := c.To(teacher, gotch.Float), c.To(student, gotch.Float)
	return c.Div(c.SumDim(c.Square(c.Sub(s, t)), false, -1), c.SumDim(c.Square(t), false, -1))
}

// nllRows is -log p(label) of float32 logits [..., V] at int64 labels [...].
func nllRows(c *nn.Context, logits, labels *ts.Tensor) *ts.Tensor {
	picked := c.Gather(c.LogSoftmax(logits, -1), -1, c.Unsqueeze(labels, -1))
	return c.Neg(c.Squeeze(picked, -1))
}
