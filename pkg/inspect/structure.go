package inspect

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/qakd/qakd/pkg/ckpt"
	"github.com/qakd/qakd/pkg/nn"
	"github.com/qakd/qakd/pkg/report"
)

// Structure is the module tree of the file.
type Structure struct {
	Dir   string `json:"dir"`
	Kind  string `json:"kind"`
	Depth int    `json:"depth"` // levels shown; 0 for all
	Nodes []Node `json:"nodes"` // a module before what it holds

	root *branch
}

// Node is a module or, with a shape, a tensor.
type Node struct {
	Path       string  `json:"path"` // checkpoint key, or the beginning of several
	Level      int     `json:"level"`
	Tensors    int     `json:"tensors"`
	Parameters int64   `json:"parameters"`
	Bytes      int64   `json:"bytes"`
	DType      string  `json:"dtype,omitempty"` // tensors only
	Shape      []int64 `json:"shape,omitempty"` // tensors only
}

// branch is a node with what it holds.
type branch struct {
	Node
	name     string
	children []*branch
	like     string // equal for branches that differ in their path alone
}

// Structure looks at the tree, down to a level. It reads headers only.
func (c *Checkpoint) Structure(depth int) (*Structure, error) {
	if depth < 0 {
		return nil, fmt.Errorf("depth is %d, want 0 (all levels) or more", depth)
	}
	s := &Structure{Dir: c.Dir, Kind: c.Kind, Depth: depth, root: &branch{}}
	for _, info := range c.inOrder() {
		s.root.add(info, strings.Split(info.Name, "."), c.params(info))
	}
	for _, b := range s.root.children {
		b.finish()
		b.each(depth, func(b *branch) { s.Nodes = append(s.Nodes, b.Node) })
	}
	return s, nil
}

// inOrder are the tensors of the file in the order of the computation, those that the model does not know after it.
func (c *Checkpoint) inOrder() []ckpt.Info {
	rank := map[string]int{}
	for i, p := range nn.Params(c.model) {
		rank[p.Name] = i + 1
	}
	of := func(name string) int {
		module, _ := cutLast(name)
		for _, key := range []string{name, module + ".weight"} { // scales and codes stand where the weight would
			if r := rank[key]; r > 0 {
				return r
			}
		}
		return math.MaxInt
	}
	infos := slices.Clone(c.Header.Infos)
	slices.SortStableFunc(infos, func(a, b ckpt.Info) int {
		ra, rb := of(a.Name), of(b.Name)
		switch {
		case ra < rb:
			return -1
		case ra > rb:
			return 1
		}
		return 0
	})
	return infos
}

func cutLast(name string) (module, leaf string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// add hangs a tensor below b.
func (b *branch) add(info ckpt.Info, path []string, params int64) {
	b.Tensors, b.Parameters, b.Bytes = b.Tensors+1, b.Parameters+params, b.Bytes+info.Bytes
	if len(path) == 0 {
		b.DType, b.Shape = info.DType, append([]int64{}, info.Shape...)
		return
	}
	i := slices.IndexFunc(b.children, func(x *branch) bool { return x.name == path[0] })
	if i < 0 {
		child := &branch{name: path[0], Node: Node{Path: strings.TrimPrefix(b.Path+"."+path[0], "."), Level: b.Level + 1}}
		b.children, i = append(b.children, child), len(b.children)
	}
	b.children[i].add(info, path[1:], params)
}

// finish says what the branch is like.
func (b *branch) finish() {
	like := []string{b.DType, shape(b.Shape)}
	for _, x := range b.children {
		x.finish()
		like = append(like, x.name+"("+x.like+")")
	}
	b.like = strings.Join(like, ";")
}

// each calls f with b and what it holds, down to a level; 0 for all.
func (b *branch) each(depth int, f func(*branch)) {
	if depth > 0 && b.Level > depth {
		return
	}
	f(b)
	for _, x := range b.children {
		x.each(depth, f)
	}
}

// Tables prints the tree; a run of numbered modules that differ in nothing but their number is one line, and so is a
// module with one tensor.
func (s *Structure) Tables() []*report.Table {
	t := &report.Table{Title: fmt.Sprintf("%s: %s tensors, %s parameters", s.Dir, count(int64(s.root.Tensors)), count(s.root.Parameters)),
		Columns: []string{"path", "shape", "dtype", "tensors", "parameters", "bytes"}}
	s.print(t, s.root, "", 1)
	return []*report.Table{t}
}

// print adds what b holds; times is how many modules like b the line before stood for.
func (s *Structure) print(t *report.Table, b *branch, path string, times int64) {
	for i := 0; i < len(b.children); {
		x := b.children[i]
		n := x.alike(b.children[i:])
		name := x.name
		if n > 1 {
			name = fmt.Sprintf("{%s..%s}", x.name, b.children[i+n-1].name)
		}
		i += n
		if s.Depth > 0 && x.Level > s.Depth {
			continue
		}
		all := times * int64(n)
		full, dims := strings.TrimPrefix(path+"."+name, "."), ""
		if deeper := s.Depth == 0 || x.Level < s.Depth; deeper && len(x.children) == 1 && x.children[0].Shape != nil {
			s.print(t, x, full, all) // the tensor's line says it all
			continue
		}
		if x.Shape != nil {
			dims = shape(x.Shape)
		}
		t.Add(full, dims, x.DType, count(all*int64(x.Tensors)), count(all*x.Parameters), count(all*x.Bytes))
		s.print(t, x, full, all)
	}
}

// alike is how many of the siblings that begin with b are numbered on from it and like it.
func (b *branch) alike(siblings []*branch) int {
	first, err := strconv.Atoi(b.name)
	if err != nil {
		return 1
	}
	n := 1
	for n < len(siblings) && siblings[n].name == strconv.Itoa(first+n) && siblings[n].like == b.like {
		n++
	}
	return n
}
