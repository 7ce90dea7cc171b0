package tensor

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/qakd/qakd/internal/shim"
	"github.com/sugarme/gotch"
	"github.com/sugarme/gotch/ts"
)

var cuda struct {
	once  sync.Once
	why   error // why libtorch's CUDA half could not be loaded
	count int64
}

// Device selects "cpu", "cuda", "cuda:N", or "auto": the first GPU where there is one, else the CPU.
//
// The CUDA half of libtorch is loaded at the first call that asks for it, which must come before any other query for
// CUDA in the process: libtorch caches the first answer.
func Device(name string) (gotch.Device, error) {
	if name == "cpu" {
		return gotch.CPU, nil
	}
	index, ok := 0, name == "auto" || name == "cuda"
	if n, found := strings.CutPrefix(name, "cuda:"); found {
		i, err := strconv.Atoi(n)
		index, ok = i, err == nil && i >= 0
	}
	if !ok {
		return gotch.CPU, fmt.Errorf("device %q: want auto, cpu, cuda or cuda:N", name)
	}
	cuda.once.Do(func() {
		if cuda.why = shim.LoadCUDA(); cuda.why == nil {
			cuda.count = gotch.CUDA.DeviceCount()
		}
	})
	switch {
	case int64(index) < cuda.count:
		return gotch.CudaBuilder(uint(index)), nil
	case name == "auto":
		return gotch.CPU, nil
	case cuda.why != nil:
		return gotch.CPU, fmt.Errorf("device %q: %w (make setup CUDA=1 adds the CUDA libraries)", name, cuda.why)
	}
	return gotch.CPU, fmt.Errorf("device %q: this machine has %d CUDA devices", name, cuda.count)
}

// Device of x.
func (s *Scope) Device(x *ts.Tensor) gotch.Device {
	s.admit("device", x)
	d, err := x.Device()
	s.Check("device", err)
	runtime.KeepAlive(x)
	return d
}
