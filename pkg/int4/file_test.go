package int4

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/qakd/qakd/internal/rng"
	"github.com/qakd/qakd/internal/tensor"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/qat"
	"github.com/qakd/qakd/pkg/quant"
)

// checkpoint writes layers of several schemes as a packed checkpoint: three that the kernels know and one (g64) that
// they do not.
func checkpoint(t *testing.T, dir string, seed int64) {
	t.Helper()
	var layers []*qat.Linear
	add := func(path string, out, in int64, w quant.WeightScheme, a quant.ActivationScheme) {
		cfg := qat.DefaultConfig()
		cfg.Weight, cfg.Activation = w, a
		l := nn.NewLinear(path, in, out, false)
		random, v := rng.New(seed, path), make([]float32, out*in)
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
		err := tensor.Run(func(s *tensor.Scope) error {
			l.W.Set(s.Release(s.FromFloats(v, out, in)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		q, err := qat.FromFloat(path, l, cfg)
		if err != nil {
			t.Fatal(err)
		}
		nn.Close(l)
		layers = append(layers, q)
	}
	g32, g64, g128 := quant.DefaultWeightScheme(), quant.DefaultWeightScheme(), quant.DefaultWeightScheme()
	g64.GroupSize, g128.GroupSize, g128.Symmetric = 64, 128, false
	a8, static := quant.ActivationScheme{Bits: 8, Mode: quant.DynamicToken}, quant.ActivationScheme{Bits: 8, Mode: quant.StaticTensor}
	add("a", 40, 128, g32, a8)
	add("b", 17, 256, g128, quant.ActivationScheme{})
	add("c", 16, 64, g32, static)
	add("d", 8, 64, g64, a8)
	all := qat.NewLayers(layers...)
	defer nn.Close(all)
	if err := qat.SetInputScales(all, map[string]float32{"c": 0.03125}); err != nil {
		t.Fatal(err)
	}
	if _, err := qat.SaveLayers(dir, all); err != nil {
		t.Fatal(err)
	}
}

// holds compares every matrix of f with the checkpoint's layers, bit for bit.
func holds(t *testing.T, f *File, dir string) {
	t.Helper()
	layers, err := qat.LoadLayers(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Close(layers)
	compared := 0
	for _, s := range layers {
		p := s.P.(*qat.Packed)
		m, err := f.Matrix(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			continue
		}
		var want []float32
		err = nn.Run(func(c *nn.Context) (err error) {
			want, err = tensor.Floats(p.Weight(c))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Dequantize()
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d weights, %v; want %d", s.Path, len(got), err, len(want))
		}
		for i := range got {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%s: weight %d is %v, want %v", s.Path, i, got[i], want[i])
			}
		}
		compared++
	}
	if compared != 3 {
		t.Errorf("%d matrices, want 3", compared)
	}
}

func open(t *testing.T, dir string) *File {
	t.Helper()
	f, err := Cached(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	checkpoint(t, dir, 1)
	f := open(t, dir)
	holds(t, f, dir)
	if f.Uncached != nil || f.Path() != filepath.Join(dir, FileName) {
		t.Errorf("file at %s, %v", f.Path(), f.Uncached)
	}
	if o := f.Others(); len(o) != 1 || o[0].Path != "d" || !strings.Contains(o[0].Why, "int4 sym g64, want int4 in groups of 32 or 128") {
		t.Errorf("others %+v, want d for its groups of 64", o)
	}
	for _, l := range f.Layers() {
		if l.Offset%4096 != 0 {
			t.Errorf("%s begins at %d, want a multiple of 4096", l.Path, l.Offset)
		}
	}
	if l := f.layers["c"]; l.InputScale != 0.03125 || l.Activation.Mode != quant.StaticTensor {
		t.Errorf("c is %+v, want its static scale", l)
	}
	if err := errors.Join(f.Verify(), f.VerifySource(dir)); err != nil {
		t.Error(err)
	}
	info, _ := os.Stat(f.Path())
	if again := open(t, dir); true {
		now, _ := os.Stat(again.Path())
		if !os.SameFile(info, now) || !info.ModTime().Equal(now.ModTime()) {
			t.Error("the second opening made or touched the file")
		}
	}
	// The bytes behind the header depend on the checkpoint only.
	other := filepath.Join(t.TempDir(), "again")
	if err := BuildFile(other, dir); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(f.Path())
	b, _ := os.ReadFile(other)
	if !slices.Equal(a, b) {
		t.Error("two files of one checkpoint differ")
	}
}

// TestStale: a checkpoint that was written anew has its file made again; one that was only copied keeps it.
func TestStale(t *testing.T) {
	dir := t.TempDir()
	checkpoint(t, dir, 1)
	first := open(t, dir)
	before, _ := os.ReadFile(first.Path())
	info, _ := os.Stat(first.Path())

	weights := filepath.Join(dir, "model.safetensors")
	data, _ := os.ReadFile(weights)
	if err := os.WriteFile(weights+".copy", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(weights+".copy", weights); err != nil {
		t.Fatal(err)
	}
	same := open(t, dir)
	if now, _ := os.Stat(same.Path()); !os.SameFile(info, now) {
		t.Error("a copied checkpoint had its file made again")
	}
	if now, err := same.Stamped(dir); err != nil || !now || same.head.stamp == first.head.stamp {
		t.Errorf("the compared file does not have the new stamp (%v)", err)
	}
	if again := open(t, dir); again.head.stamp == first.head.stamp {
		t.Error("the file did not get the new stamp")
	}

	checkpoint(t, dir, 2)
	if err := first.VerifySource(dir); err == nil || !strings.Contains(err.Error(), "is stale: ") {
		t.Errorf("error %v, want a stale file", err)
	}
	holds(t, open(t, dir), dir)
	after, _ := os.ReadFile(first.Path())
	if slices.Equal(before, after) {
		t.Error("the file is still that of the old checkpoint")
	}
	if m, _ := first.Matrix("a"); !slices.Equal(m.Bytes(), before[first.layers["a"].Offset:][:len(m.Bytes())]) {
		t.Error("the file that was open lost its content")
	}
}

// TestDamaged: what is wrong with a file is told in one line by OpenFile, and Cached makes it again.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	checkpoint(t, dir, 1)
	path := open(t, dir).Path()
	whole, _ := os.ReadFile(path)
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 4; return b }
	}
	for name, tt := range map[string]struct {
		damage func([]byte) []byte
		want   string
	}{
		"cut":     {func(b []byte) []byte { return b[:len(b)-64] }, "truncated"},
		"longer":  {func(b []byte) []byte { return append(b, 0) }, "truncated"},
		"tiny":    {func(b []byte) []byte { return b[:20] }, "20 bytes, want at least 128"},
		"empty":   {func(b []byte) []byte { return nil }, "0 bytes"},
		"magic":   {flip(0), `begins with "uakdint4"`},
		"format":  {flip(8), "format 6, want 2"},
		"index":   {flip(indexAt + 30), "its index is damaged"},
		"lengths": {flip(14), "an index of"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, tt.damage(slices.Clone(whole)), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFile(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q and the path in one line", err, tt.want)
			}
			holds(t, open(t, dir), dir)
			if now, _ := os.ReadFile(path); !slices.Equal(now, whole) {
				t.Error("the file was not made again as it was")
			}
		})
	}
	// A bit of a matrix is seen by Verify only.
	f := open(t, dir)
	at := f.layers["b"].Offset + 1000
	flipped := flip(int(at))(slices.Clone(whole))
	if err := os.WriteFile(path+".x", flipped, 0o644); err != nil {
		t.Fatal(err)
	}
	x, err := OpenFile(path + ".x")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Verify(); err == nil || !strings.Contains(err.Error(), "matrix b is damaged") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want the damage of b alone", err)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// TestReadOnlyFolder: who may not write gets the matrices in memory and is told why.
func TestReadOnlyFolder(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "model")
	checkpoint(t, dir, 1)
	if err := errors.Join(os.Chmod(filepath.Dir(root), 0o755), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
	if os.Geteuid() == 0 { // permissions do not bind root: be somebody else to the file system
		runtime.LockOSThread()
		syscall.Setfsuid(65534)
		t.Cleanup(func() { syscall.Setfsuid(0); runtime.UnlockOSThread() })
	}
	f, err := Cached(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !errors.Is(f.Uncached, fs.ErrPermission) || !strings.Contains(f.Uncached.Error(), FileName) {
		t.Errorf("uncached because of %v, want the permission", f.Uncached)
	}
	holds(t, f, dir)
	if err := f.Verify(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("the folder has %v, want config.json and model.safetensors", left)
	}
}

// TestTwoProcesses: processes that make the file at the same time all get a whole one.
func TestTwoProcesses(t *testing.T) {
	if dir := os.Getenv("INT4_TEST_FOLDER"); dir != "" {
		f := open(t, dir)
		holds(t, f, dir)
		if err := errors.Join(f.Verify(), f.Uncached); err != nil {
			t.Error(err)
		}
		return
	}
	dir := t.TempDir()
	checkpoint(t, dir, 1)
	var runs []*exec.Cmd
	for range 3 {
		c := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
		c.Env = append(os.Environ(), "INT4_TEST_FOLDER="+dir)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, c)
	}
	for _, c := range runs {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("the folder has %v, want the checkpoint's two files and %s", left, FileName)
	}
}
