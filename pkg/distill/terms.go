package distill

import (
	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

// klRows is Σ p_t·(log p_t - log p_s) over the last dimension of float32 logits [..., V], at temperature T and without
// the factor T²: [...], in nats. It is 0 where both are equal.
func klRows(c *nn.Context, teacher, student *ts.Tensor, temperature float64) *ts.Tensor {
	if temperature != 1 {
		teacher, student = c.DivScalar(teacher, temperature), c.DivScalar(student, temperature)
	}
	lt, ls := c.LogSoftmax(teacher, -1), c.LogSoftmax(student, -1)
	return c.SumDim(c.Mul(c.Exp(lt), c.Sub(lt, ls)), false, -1)
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
