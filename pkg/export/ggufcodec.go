package export

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/gguf"
)

// wavLayer are the tensors of a layer of the codec's transformer.
var wavLayer = [][2]string{
	{"input_layernorm.weight", "ln1.weight"}, {"self_attn.q_proj.weight", "attn_q.weight"}, {"self_attn.k_proj.weight", "attn_k.weight"},
	{"self_attn.v_proj.weight", "attn_v.weight"}, {"self_attn.o_proj.weight", "attn_out.weight"}, {"self_attn_layer_scale.scale", "ls1.weight"},
	{"post_attention_layernorm.weight", "ln2.weight"}, {"mlp.gate_proj.weight", "ffn_gate.weight"}, {"mlp.up_proj.weight", "ffn_up.weight"},
	{"mlp.down_proj.weight", "ffn_down.weight"}, {"mlp_layer_scale.scale", "ls2.weight"},
}

// wavUpsample are the tensors of an upsampling block.
var wavUpsample = [][2]string{
	{"0.conv.weight", "conv.weight"}, {"0.conv.bias", "conv.bias"}, {"1.dwconv.conv.weight", "dwconv.weight"}, {"1.dwconv.conv.bias", "dwconv.bias"},
	{"1.norm.weight", "norm.weight"}, {"1.norm.bias", "norm.bias"}, {"1.pwconv1.weight", "pw1.weight"}, {"1.pwconv1.bias", "pw1.bias"},
	{"1.pwconv2.weight", "pw2.weight"}, {"1.pwconv2.bias", "pw2.bias"}, {"1.gamma", "gamma"},
}

// codec adds the decoder of the speech tokenizer, where the checkpoint has one. It is float throughout, and the folder
// speech_tokenizer comes along as it is, so nothing here has to be read back.
func (w *ggufWriter) codec() error {
	path := filepath.Join(w.model.dir, "speech_tokenizer")
	if _, err := os.Stat(filepath.Join(path, "config.json")); errors.Is(err, fs.ErrNotExist) {
		w.result.note("the checkpoint has no speech tokenizer, so %s generates codes and no sound", mmprojFile)
		return nil
	}
	src, err := ckpt.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	c := &wavTensors{src: src}
	c.quantizer()
	c.transformer()
	c.vocoder()
	if c.err != nil {
		return fmt.Errorf("speech_tokenizer: %w", c.err)
	}
	w.companion = append(w.companion, c.list...)
	return nil
}

// wavTensors collects tensors until something is wrong.
type wavTensors struct {
	src  *ckpt.Reader
	list []gguf.Tensor
	err  error
}

// read is a tensor's shape and numbers.
func (c *wavTensors) read(name string) (shape []int64, x []float32, dtype string) {
	if c.err != nil {
		return nil, nil, ""
	}
	info, data, err := c.src.Bytes("decoder." + name)
	if err == nil {
		x, err = floats(info.DType, data)
	}
	if err != nil {
		c.err = fmt.Errorf("tensor decoder.%s: %w", name, err)
	}
	return info.Shape, x, info.DType
}

// put adds a tensor of these numbers.
func (c *wavTensors) put(name, dtype string, shape []int64, x []float32) {
	if c.err != nil {
		return
	}
	t, err := plainType(dtype)
	if err != nil {
		c.err = err
		return
	}
	data, err := exact(dtype, x)
	if err != nil {
		c.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	c.list = append(c.list, gguf.Tensor{Name: "a.gen.wav." + name, Type: t, Shape: shape, Data: data})
}

// move adds a tensor as it is: matrices in their dtype, vectors and kernels in F32.
func (c *wavTensors) move(ours, theirs string) {
	shape, x, dtype := c.read(ours)
	if len(shape) != 2 {
		dtype = "F32"
	}
	c.put(theirs, dtype, shape, x)
}

// both adds weight and bias.
func (c *wavTensors) both(ours, theirs string) {
	c.move(ours+".weight", theirs+".weight")
	c.move(ours+".bias", theirs+".bias")
}

func (c *wavTensors) has(name string) bool {
	_, ok := c.src.Info("decoder." + name)
	return ok
}

// quantizer adds the codebooks: sums of the vectors that training assigned to each code, over how many they were.
func (c *wavTensors) quantizer() {
	for _, kind := range []string{"first", "rest"} {
		at := "quantizer.rvq_" + kind
		for _, p := range []string{"input_proj", "output_proj"} {
			shape, x, dtype := c.read(at + "." + p + ".weight")
			if c.err == nil && (len(shape) != 3 || shape[2] != 1) {
				c.err = fmt.Errorf("tensor decoder.%s.%s.weight is %v, want a kernel of 1", at, p, shape)
				return
			}
			c.put("quant."+kind+"."+strings.Replace(p, "put", "", 1)+".weight", dtype, shape[:min(2, len(shape))], x)
		}
		var all []float32
		var shape []int64
		n := int64(0)
		for c.has(fmt.Sprintf("%s.vq.layers.%d._codebook.embedding_sum", at, n)) {
			book := fmt.Sprintf("%s.vq.layers.%d._codebook.", at, n)
			s, sum, _ := c.read(book + "embedding_sum")
			_, usage, _ := c.read(book + "cluster_usage")
			if c.err != nil {
				return
			}
			if len(s) != 2 || int64(len(usage)) != s[0] {
				c.err = fmt.Errorf("codebook decoder.%s is %v for %d clusters", book, s, len(usage))
				return
			}
			for i, v := range sum {
				all = append(all, v/max(usage[int64(i)/s[1]], 1e-5))
			}
			shape, n = s, n+1
		}
		if n > 1 {
			shape = append([]int64{n}, shape...)
		}
		c.put("quant."+kind+".codebook.weight", "F32", shape, all)
	}
}

func (c *wavTensors) transformer() {
	c.both("pre_conv.conv", "pre_conv")
	c.both("pre_transformer.input_proj", "tfm.in_proj")
	c.both("pre_transformer.output_proj", "tfm.out_proj")
	c.move("pre_transformer.norm.weight", "tfm.output_norm.weight")
	for i := 0; c.has(fmt.Sprintf("pre_transformer.layers.%d.input_layernorm.weight", i)); i++ {
		for _, p := range wavLayer {
			c.move(fmt.Sprintf("pre_transformer.layers.%d.%s", i, p[0]), fmt.Sprintf("tfm.blk.%d.%s", i, p[1]))
		}
	}
	for i := 0; c.has(fmt.Sprintf("upsample.%d.0.conv.weight", i)); i++ {
		for _, p := range wavUpsample {
			c.move(fmt.Sprintf("upsample.%d.%s", i, p[0]), fmt.Sprintf("up.blk.%d.%s", i, p[1]))
		}
	}
}

// vocoder adds the blocks of decoder.decoder: a convolution, upsampling blocks of three residual units, and the end.
func (c *wavTensors) vocoder() {
	c.both("decoder.0.conv", "dac.entry")
	at := 1
	for ; c.has(fmt.Sprintf("decoder.%d.block.0.alpha", at)); at++ {
		ours, theirs := fmt.Sprintf("decoder.%d.block.", at), fmt.Sprintf("dac.blk.%d.", at-1)
		c.snake(ours+"0", theirs+"snake")
		c.both(ours+"1.conv", theirs+"conv")
		for i := range 3 {
			unit, to := fmt.Sprintf("%s%d.", ours, i+2), fmt.Sprintf("%sres.%d.", theirs, i)
			c.snake(unit+"act1", to+"act1")
			c.both(unit+"conv1.conv", to+"conv1")
			c.snake(unit+"act2", to+"act2")
			c.both(unit+"conv2.conv", to+"conv2")
		}
	}
	c.snake(fmt.Sprintf("decoder.%d", at), "dac.post_snake")
	c.both(fmt.Sprintf("decoder.%d.conv", at+1), "dac.post_conv")
}

// snake adds the activation's parameters as the graph uses them: x + b sin²(a x), with logarithms in the checkpoint.
func (c *wavTensors) snake(ours, theirs string) {
	shape, alpha, _ := c.read(ours + ".alpha")
	_, beta, _ := c.read(ours + ".beta")
	for i := range alpha {
		alpha[i] = float32(math.Exp(float64(alpha[i])))
	}
	for i := range beta {
		beta[i] = 1 / (float32(math.Exp(float64(beta[i]))) + 1e-9)
	}
	c.put(theirs+".alpha", "F32", shape, alpha)
	c.put(theirs+".beta", "F32", shape, beta)
}
