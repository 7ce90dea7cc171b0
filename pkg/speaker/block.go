package speaker

import (
	"fmt"

	"github.com/qakd/qakd/pkg/nn"
	"github.com/sugarme/gotch/ts"
)

// Block is an SE-Res2Net block: x + squeeze-excite(TDNN(Res2Net(TDNN(x)))).
type Block struct {
	Path string
	In   *TDNN
	Res2 *Res2Net
	Out  *TDNN
	SE   *SqueezeExcite
}

func newBlock(path string, channels, kernel, dilation int64, cfg *Config) *Block {
	return &Block{
		Path: path,
		In:   NewTDNN(path+".tdnn1", channels, channels, 1, 1),
		Res2: newRes2Net(path+".res2net_block", channels, kernel, dilation, cfg.Scale),
		Out:  NewTDNN(path+".tdnn2", channels, channels, 1, 1),
		SE:   newSqueezeExcite(path+".se_block", channels, cfg.SEChannels),
	}
}

// Visit shows the parts in the order of computation.
func (b *Block) Visit(v nn.Visitor) {
	b.In.Visit(v)
	b.Res2.Visit(v)
	b.Out.Visit(v)
	b.SE.Visit(v)
}

// Forward maps x [B,C,T] to [B,C,T].
func (b *Block) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	h := b.Out.Forward(c, b.Res2.Forward(c, b.In.Forward(c, x)))
	return show(c, b.Path, c.Add(x, b.SE.Forward(c, h)))
}

// Res2Net splits the channels into groups and convolves each together with what came out of the one before, so that later
// groups see further (Gao et al. 2019, arXiv:1904.01169). The first group stays as it is.
type Res2Net struct {
	Path  string
	Width int64 // channels of a group
	Parts []*TDNN
}

func newRes2Net(path string, channels, kernel, dilation, scale int64) *Res2Net {
	r := &Res2Net{Path: path, Width: channels / scale}
	for i := range scale - 1 {
		r.Parts = append(r.Parts, NewTDNN(fmt.Sprintf("%s.blocks.%d", path, i), r.Width, r.Width, kernel, dilation))
	}
	return r
}

// Visit shows the groups' layers.
func (r *Res2Net) Visit(v nn.Visitor) {
	for _, p := range r.Parts {
		p.Visit(v)
	}
}

// Forward maps x [B,C,T] to [B,C,T].
func (r *Res2Net) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	ys := []*ts.Tensor{c.Narrow(x, 1, 0, r.Width)}
	for i, part := range r.Parts {
		h := c.Narrow(x, 1, int64(i+1)*r.Width, r.Width)
		if i > 0 {
			h = c.Add(h, ys[i])
		}
		ys = append(ys, part.Forward(c, h))
	}
	return show(c, r.Path, c.Cat(1, ys...))
}

// SqueezeExcite weights the channels by what they hold over the whole clip (Hu et al. 2018, arXiv:1709.01507).
type SqueezeExcite struct {
	Path     string
	Down, Up *nn.Conv1d
}

func newSqueezeExcite(path string, channels, inner int64) *SqueezeExcite {
	return &SqueezeExcite{Path: path, Down: pointwise(path+".conv1", channels, inner), Up: pointwise(path+".conv2", inner, channels)}
}

// Visit shows both convolutions.
func (s *SqueezeExcite) Visit(v nn.Visitor) {
	s.Down.Visit(v)
	s.Up.Visit(v)
}

// Forward is x·sigmoid(up(ReLU(down(mean over time)))), [B,C,T].
func (s *SqueezeExcite) Forward(c *nn.Context, x *ts.Tensor) *ts.Tensor {
	h := c.Relu(s.Down.Forward(c, c.MeanDim(x, true, 2)))
	return show(c, s.Path, c.Mul(x, c.Sigmoid(s.Up.Forward(c, h))))
}
