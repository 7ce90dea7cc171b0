package optim

import (
	"fmt"
	"strconv"
)

// growAfter is the number of updates in a row after which the loss gets a larger factor.
const growAfter = 2000

// lossScale multiplies the loss, so that gradients in f16 do not underflow, and finds its own size (Micikevicius et al.
// 2018, "Mixed Precision Training", section 3.2): half where a gradient overflows, whose update is then left out, twice
// after growAfter updates without. It is a power of two and changes no bit of what neither over- nor underflows.
type lossScale struct {
	factor float64 // 0: the loss is not scaled
	good   int     // updates since it changed
}

func (l *lossScale) on() bool { return l.factor != 0 }

// value is what the loss is multiplied by.
func (l *lossScale) value() float64 {
	if !l.on() {
		return 1
	}
	return l.factor
}

// applied notes an update with finite gradients.
func (l *lossScale) applied() {
	if l.good++; l.on() && l.good >= growAfter && l.factor < 0x1p63 {
		l.factor, l.good = l.factor*2, 0
	}
}

// overflowed notes gradients that are not finite. false: it is not the factor's fault.
func (l *lossScale) overflowed() bool {
	if l.factor <= 1 {
		return false
	}
	l.factor, l.good = l.factor/2, 0
	return true
}

// SkippedError is an update that was left out because a gradient overflowed under the factor of the loss, which has been
// halved. The gradients are dropped; the training goes on.
type SkippedError struct {
	Param  string
	Factor float64 // from now on
}

func (e *SkippedError) Error() string {
	return fmt.Sprintf("optim: the gradient of %q overflowed: the update is skipped, the loss scale is now %v", e.Param, e.Factor)
}

// LossScale is what the loss must be multiplied by before the backward pass of the next update.
func (o *AdamW) LossScale() float64 { return o.scale.value() }

const (
	lossScaleKey = "loss_scale"
	goodKey      = "loss_scale_updates"
)

func (l *lossScale) describe(meta map[string]string) {
	if l.on() {
		meta[lossScaleKey], meta[goodKey] = strconv.FormatFloat(l.factor, 'g', -1, 64), strconv.Itoa(l.good)
	}
}

// restore takes over what describe wrote.
func (l *lossScale) restore(meta map[string]string) error {
	text, ok := meta[lossScaleKey]
	if ok != l.on() {
		return fmt.Errorf("loss_scale of the state is %q, that of this optimizer %v: a training goes on with what it began with", text, l.factor)
	}
	if !ok {
		return nil
	}
	factor, err := strconv.ParseFloat(text, 64)
	if err != nil || !(factor >= 1) {
		return fmt.Errorf("metadata %q is %q, want a number >= 1", lossScaleKey, text)
	}
	good, err := strconv.Atoi(meta[goodKey])
	if err != nil || good < 0 {
		return fmt.Errorf("metadata %q is %q, want a count >= 0", goodKey, meta[goodKey])
	}
	l.factor, l.good = factor, good
	return nil
}
