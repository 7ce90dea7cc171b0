package main

import (
	"fmt"
	"strings"
)

// platform is what differs between operating systems and processors.
type platform struct {
	name   string   // ends the name of the DEPS folder; "" on the main platform
	tag    string   // of PyTorch's wheel
	cpu    []wheel  // what the CPU needs
	cuda   []wheel  // what a GPU needs besides; nil: no CUDA there
	lib    string   // ending of a shared library
	openmp string   // compiler flag for OpenMP; "" where libtorch does not use it
	extra  []string // library folders besides torch/lib, relative to DEPS
}

// wheel is one package to fetch, and the path prefixes inside it to keep.
type wheel struct {
	req  string // as pip takes it
	keep []string
}

// Both libraries are hard needs of libtorch_cpu on Linux x86-64: it does not start without them.
var (
	cupti  = wheel{"nvidia-cuda-cupti-cu12==12.1.105", []string{"nvidia/cuda_cupti/lib/libcupti.so"}}
	cudart = wheel{"nvidia-cuda-runtime-cu12==12.1.105", []string{"nvidia/cuda_runtime/lib/libcudart.so"}}
)

// cudaWheels are the packages that torch 2.1.0 requires for CUDA 12.1, and nvjitlink, which cusolver and cusparse load.
// libnvfuser_codegen stays out: libtorch_cpu would load it, and CUDA with it, before a program can decide.
// Not run.
var cudaWheels = []wheel{
	{"nvidia-cublas-cu12==12.1.3.1", []string{"nvidia/cublas/lib/"}},
	{"nvidia-cuda-nvrtc-cu12==12.1.105", []string{"nvidia/cuda_nvrtc/lib/"}},
	{"nvidia-cudnn-cu12==8.9.2.26", []string{"nvidia/cudnn/lib/"}},
	{"nvidia-cufft-cu12==11.0.2.54", []string{"nvidia/cufft/lib/"}},
	{"nvidia-curand-cu12==10.3.2.106", []string{"nvidia/curand/lib/"}},
	{"nvidia-cusolver-cu12==11.4.5.107", []string{"nvidia/cusolver/lib/"}},
	{"nvidia-cusparse-cu12==12.1.0.106", []string{"nvidia/cusparse/lib/"}},
	{"nvidia-nccl-cu12==2.18.1", []string{"nvidia/nccl/lib/"}},
	{"nvidia-nvtx-cu12==12.1.105", []string{"nvidia/nvtx/lib/"}},
	{"nvidia-nvjitlink-cu12==12.1.105", []string{"nvidia/nvjitlink/lib/"}},
}

// cudaTorch are the parts of PyTorch's own wheel that a GPU needs besides.
var cudaTorch = []string{"torch/lib/libtorch_cuda", "torch/lib/libc10_cuda.so", "torch/lib/libcaffe2_nvrtc.so"}

func torchWheel(keep ...string) wheel {
	return wheel{"torch==" + torchVersion, append([]string{"torch/include/"}, keep...)}
}

// platforms are keyed by GOOS/GOARCH.
var platforms = map[string]platform{
	"linux/amd64": {
		tag: "manylinux1_x86_64", lib: ".so", openmp: "-fopenmp",
		cpu:  []wheel{cupti, cudart, torchWheel("torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp")},
		cuda: cudaWheels,
	},
	// Not run. The wheel keeps OpenBLAS, the ARM compute library and OpenMP in a folder of its own.
	"linux/arm64": {
		name: "-linux-arm64", tag: "manylinux2014_aarch64", lib: ".so", openmp: "-fopenmp", extra: []string{"torch.libs"},
		cpu: []wheel{torchWheel("torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch.libs/")},
	},
	// Not run. libtorch_cpu uses Accelerate and its own threads there, no OpenMP.
	"darwin/arm64": {
		name: "-darwin-arm64", tag: "macosx_11_0_arm64", lib: ".dylib",
		cpu: []wheel{torchWheel("torch/lib/libtorch_cpu.dylib", "torch/lib/libc10.dylib")},
	},
}

func platformOf(goos, goarch string) (platform, error) {
	p, ok := platforms[goos+"/"+goarch]
	if !ok {
		return platform{}, fmt.Errorf("%s/%s is not supported: linux/amd64 is; linux/arm64 and darwin/arm64 are prepared", goos, goarch)
	}
	return p, nil
}

// wheels lists what to fetch. The big one comes last, so that a mistake in the small ones shows early.
func (p platform) wheels(cuda bool) []wheel {
	if !cuda {
		return p.cpu
	}
	torch := p.cpu[len(p.cpu)-1]
	torch.keep = append(append([]string{}, torch.keep...), cudaTorch...)
	all := append([]wheel{}, p.cpu[:len(p.cpu)-1]...)
	return append(append(all, p.cuda...), torch)
}

// cgoFlags are the #cgo lines that compile and link against the libtorch below deps, a path in #cgo syntax.
func (p platform) cgoFlags(deps, abi, optimize string) []string {
	define := ""
	if abi != "" {
		define = " -D_GLIBCXX_USE_CXX11_ABI=" + abi
	}
	stdlib := "-lstdc++"
	if p.lib == ".dylib" {
		stdlib = "-lc++"
	}
	lines := []string{
		"CXXFLAGS: -std=c++17 -I${SRCDIR} " + optimize + " -g0 -w" + define,
		fmt.Sprintf("CXXFLAGS: -isystem %s/torch/include -isystem %[1]s/torch/include/torch/csrc/api/include", deps),
		fmt.Sprintf("LDFLAGS: -L%s/torch/lib -ltorch_cpu -lc10 %s", deps, stdlib),
	}
	var paths []string
	for _, dir := range append([]string{"torch/lib"}, p.extra...) {
		paths = append(paths, fmt.Sprintf("-Wl,-rpath,%s/%s", deps, dir))
		if p.lib == ".so" {
			paths = append(paths, fmt.Sprintf("-Wl,-rpath-link,%s/%s", deps, dir))
		}
	}
	if p.lib == ".so" {
		// cudart and cupti are found at run time through libtorch_cpu's own path.
		paths = append(paths, "-Wl,--allow-shlib-undefined")
	}
	return append(lines, "LDFLAGS: "+strings.Join(paths, " "))
}

// gotchFlags are the #cgo lines of gotch's libtch package. -O1 and -g0 halve the time to compile and cost nothing per op.
func (p platform) gotchFlags(abi string) []string {
	return append([]string{"CFLAGS: -I${SRCDIR} -O1 -g0 -w"}, p.cgoFlags("${SRCDIR}/../..", abi, "-O1")...)
}

// shimFlags are the #cgo lines of internal/shim. Its loops are hot: -O2, and OpenMP, without which at::parallel_for is serial.
func (p platform) shimFlags(abi string) []string {
	lines := p.cgoFlags("${SRCDIR}/../../.deps", abi, "-O2")
	if p.openmp == "" {
		return lines
	}
	// libtorch's own OpenMP runtime, by the name that set-up gave it: a second one in the process would fight for the cores.
	return append(lines, "CXXFLAGS: "+p.openmp, "LDFLAGS: -l:libgomp.so.1 -ldl")
}
