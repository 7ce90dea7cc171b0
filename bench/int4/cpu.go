package main

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/sugarme/gotch"
	"golang.org/x/sys/cpu"
)

// onAMX is what a reader must know of a goal that was set on a CPU with AMX where there is none; 1 is no such goal.
func onAMX(goal float64) string {
	if goal == 1 || cpu.X86.HasAMXInt8 {
		return ""
	}
	return "goal set on AMX, absent here"
}

// fastType is the dtype that dense products are fast in: bf16 where the CPU multiplies it. torch is PyTorch's name of it.
func fastType() (dtype gotch.DType, torch string) {
	if cpu.X86.HasAVX512BF16 || cpu.X86.HasAMXBF16 {
		return gotch.BFloat16, "bfloat16"
	}
	return gotch.Float, "float32"
}

// emulated tells why PyTorch does not race in a dtype of its own name.
func emulated(torch string) error {
	if _, fast := fastType(); torch == "bfloat16" && fast != torch {
		return errors.New("PyTorch emulates bfloat16 on this CPU")
	}
	return nil
}

func have(b bool) string {
	if b {
		return "yes"
	}
	return "absent"
}

// lastCache is the bytes of the last cache of the first CPU; 32 MiB where the system does not tell.
func lastCache() int64 {
	b, err := os.ReadFile("/sys/devices/system/cpu/cpu0/cache/index3/size")
	kib, e := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(b)), "K"), 10, 64)
	if err != nil || e != nil {
		return 32 * mib
	}
	return kib << 10
}
