package speaker

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/qakd/qakd/internal/testkit"
	"github.com/qakd/qakd/pkg/nn"
)

// oddConfigs are sizes that no fixture has: another number of blocks and bands, a scale of one, even kernels, an
// aggregation that sees its surroundings, layers that see one frame only.
func oddConfigs() []Config {
	return []Config{
		{Mels: 40, Width: 17, Channels: []int64{12, 12, 12, 24}, Kernels: []int64{4, 2, 5, 3}, Dilations: []int64{3, 1, 2, 2},
			AttentionChannels: 5, Scale: 3, SEChannels: 7, SampleRate: Rate},
		{Mels: 129, Width: 8, Channels: []int64{6, 6, 6}, Kernels: []int64{1, 3, 1}, Dilations: []int64{1, 5, 1},
			AttentionChannels: 3, Scale: 1, SEChannels: 2, SampleRate: Rate},
		{Mels: 7, Width: 5, Channels: []int64{4, 4, 4, 4, 4, 16}, Kernels: []int64{3, 3, 3, 3, 3, 1}, Dilations: []int64{1, 1, 2, 3, 4, 9},
			AttentionChannels: 3, Scale: 4, SEChannels: 1, SampleRate: Rate},
		{Mels: 3, Width: 2, Channels: []int64{2, 2, 2}, Kernels: []int64{1, 1, 1}, Dilations: []int64{1, 1, 1},
			AttentionChannels: 1, Scale: 2, SEChannels: 1, SampleRate: Rate},
	}
}

func fresh(t testing.TB, cfg Config) *Encoder {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(e, 7, 0.5); err != nil {
		t.Fatal(err)
	}
	run(t, func(c *nn.Context) { // biases start at zero, where a forgotten one would not show
		for _, p := range nn.Params(e) {
			if len(p.Shape) == 1 {
				p.Set(c.Release(c.MulScalar(c.Randn(p.Shape...), 0.3)))
			}
		}
	})
	t.Cleanup(e.Close)
	return e
}

// rows are channels over time.
type rows [][]float64

// naiveNet is the encoder once more, in loops over float64, read from the weights by their names.
type naiveNet struct {
	cfg Config
	w   map[string][]float32
}

func (n naiveNet) conv(name string, x rows, dilation int) rows {
	w, b := n.w[prefix+name+".weight"], n.w[prefix+name+".bias"]
	in, T := len(x), len(x[0])
	k := len(w) / len(b) / in
	left := dilation * (k - 1) / 2
	out := make(rows, len(b))
	for o := range out {
		out[o] = make([]float64, T)
		for t := range T {
			sum := float64(b[o])
			for i := range in {
				for j := range k {
					at := t + j*dilation - left
					if at < 0 {
						at = -at
					}
					if at >= T {
						at = 2*(T-1) - at
					}
					sum += float64(w[(o*in+i)*k+j]) * x[i][at]
				}
			}
			out[o][t] = sum
		}
	}
	return out
}

func (x rows) each(f func(float64) float64) rows {
	out := make(rows, len(x))
	for i := range x {
		out[i] = make([]float64, len(x[i]))
		for t := range x[i] {
			out[i][t] = f(x[i][t])
		}
	}
	return out
}

func relu(v float64) float64    { return max(v, 0) }
func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// moments are mean and deviation of a row under weights that sum to one.
func moments(x []float64, weight func(t int) float64) (mean, std float64) {
	for t, v := range x {
		mean += weight(t) * v
	}
	for t, v := range x {
		std += weight(t) * (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(max(std, 1e-12))
}

func (n naiveNet) block(name string, x rows, dilation int) rows {
	h := n.conv(name+".tdnn1.conv", x, 1).each(relu)
	width := len(h) / int(n.cfg.Scale)
	y := append(rows(nil), h[:width]...)
	for i := 1; i < int(n.cfg.Scale); i++ {
		part := h[i*width : (i+1)*width].each(func(v float64) float64 { return v })
		for r := range part {
			for t := range part[r] {
				if i > 1 {
					part[r][t] += y[(i-1)*width+r][t]
				}
			}
		}
		y = append(y, n.conv(name+".res2net_block.blocks."+string(rune('0'+i-1))+".conv", part, dilation).each(relu)...)
	}
	y = n.conv(name+".tdnn2.conv", y, 1).each(relu)
	means := make(rows, len(y))
	for r := range y {
		m, _ := moments(y[r], func(int) float64 { return 1 / float64(len(y[r])) })
		means[r] = []float64{m}
	}
	gate := n.conv(name+".se_block.conv2", n.conv(name+".se_block.conv1", means, 1).each(relu), 1).each(sigmoid)
	for r := range y {
		for t := range y[r] {
			y[r][t] = x[r][t] + y[r][t]*gate[r][0]
		}
	}
	return y
}

func (n naiveNet) embed(x rows) []float64 {
	last := len(n.cfg.Channels) - 1
	h := n.conv("blocks.0.conv", x, int(n.cfg.Dilations[0])).each(relu)
	var all rows
	for i := 1; i < last; i++ {
		h = n.block("blocks."+string(rune('0'+i)), h, int(n.cfg.Dilations[i]))
		all = append(all, h...)
	}
	m := n.conv("mfa.conv", all, int(n.cfg.Dilations[last])).each(relu)
	T := len(m[0])
	even := func(int) float64 { return 1 / float64(T) }
	context := append(rows(nil), m...)
	var stds rows
	for r := range m {
		mean, std := moments(m[r], even)
		context = append(context, m[:1].each(func(float64) float64 { return mean })[0])
		stds = append(stds, m[:1].each(func(float64) float64 { return std })[0])
	}
	score := n.conv("asp.conv", n.conv("asp.tdnn.conv", append(context, stds...), 1).each(relu).each(math.Tanh), 1)
	means, devs := make(rows, len(m)), make(rows, len(m))
	for r := range m {
		sum := 0.0
		for _, s := range score[r] {
			sum += math.Exp(s)
		}
		mean, std := moments(m[r], func(t int) float64 { return math.Exp(score[r][t]) / sum })
		means[r], devs[r] = []float64{mean}, []float64{std}
	}
	var out []float64
	for _, row := range n.conv("fc", append(means, devs...), 1) {
		out = append(out, row[0])
	}
	return out
}

func TestAgainstNaiveNet(t *testing.T) {
	for _, cfg := range oddConfigs() {
		e := fresh(t, cfg)
		net := naiveNet{cfg, map[string][]float32{}}
		for _, p := range nn.Params(e) {
			net.w[p.Name] = floats(t, p.T)
		}
		for _, T := range []int64{cfg.MinFrames(), 19} {
			run(t, func(c *nn.Context) {
				mel := c.Randn(1, T, cfg.Mels)
				x := make(rows, cfg.Mels)
				for i, v := range floats(t, mel) {
					r := int64(i) % cfg.Mels
					x[r] = append(x[r], float64(v))
				}
				testkit.Close(t, "vector", widened(floats(t, e.Forward(c, mel))), net.embed(x), 1e-4, 1e-4)
			})
		}
	}
}

func widened(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// The spectrogram by its definition: mirrored samples, a sum of cosines and sines for each frequency.
func TestMelAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const n = 1100
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(0.3*math.Sin(float64(i)*0.21) + 0.05*r.NormFloat64())
	}
	m := NewMel(20)
	filters := slaney(20)
	var want []float64
	for start := -384; start+1024 <= n+384; start += 256 {
		var magnitude [bins]float64
		for k := range magnitude {
			re, im := 0.0, 0.0
			for i := range 1024 {
				at := start + i
				if at < 0 {
					at = -at
				}
				if at >= n {
					at = 2*(n-1) - at
				}
				v := float64(x[at]) * math.Pow(math.Sin(math.Pi*float64(i)/1024), 2)
				angle := 2 * math.Pi * float64(i*k%1024) / 1024
				re, im = re+v*math.Cos(angle), im-v*math.Sin(angle)
			}
			magnitude[k] = math.Sqrt(re*re + im*im + 1e-9)
		}
		for b := range 20 {
			sum := 0.0
			for k, v := range magnitude {
				sum += filters[b*bins+k] * v
			}
			want = append(want, math.Log(max(sum, 1e-5)))
		}
	}
	run(t, func(c *nn.Context) {
		testkit.Close(t, "mel", widened(floats(t, m.Forward(c, c.FromFloats(x, 1, n)))), want, 1e-4, 1e-4)
		silence := floats(t, m.Forward(c, c.FromFloats(make([]float32, 512), 1, 512)))
		testkit.Close(t, "silence", widened(silence[:1]), []float64{math.Log(1e-5)}, 1e-6, 0)
	})
}

// Known points of the scale, and the area of the filters: Slaney's triangles have height 2/width.
func TestMelScale(t *testing.T) {
	for hz, mel := range map[float64]float64{0: 0, 200: 3, 1000: 15, 6400: 42} {
		if got := toMel(hz); math.Abs(got-mel) > 1e-9 || math.Abs(toHz(mel)-hz) > 1e-9 {
			t.Errorf("%v Hz is %v mel, want %v; back: %v", hz, got, mel, toHz(mel))
		}
	}
	wide := slaney(10)
	for b := range 10 {
		area := 0.0
		for _, v := range wide[b*bins : (b+1)*bins] {
			area += v * Rate / 1024
		}
		if math.Abs(area-1) > 0.01 {
			t.Errorf("filter %d has area %v, want 1", b, area)
		}
	}
}
