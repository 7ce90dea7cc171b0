package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const versionHeader = "include/torch/csrc/api/include/torch/version.h"

// inspect checks a libtorch folder (with lib and include) and returns its C++ ABI.
func (p platform) inspect(dir string) (abi string, err error) {
	for _, f := range p.needed() {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			return "", fmt.Errorf("no %s there: a libtorch %s folder with lib and include expected", f, torchVersion)
		}
	}
	v, err := libtorchVersion(dir)
	if err != nil {
		return "", err
	}
	if v != torchVersion {
		return "", fmt.Errorf("libtorch %s found, gotch %s needs exactly %s", v, gotchVersion, torchVersion)
	}
	if p.lib != ".so" {
		return "", nil
	}
	return cxxABI(filepath.Join(dir, "lib", "libc10.so"))
}

var versionLine = regexp.MustCompile(`define TORCH_VERSION[ \\\r\n]+"([^"]+)"`)

// libtorchVersion reads build-version, which the archives of libtorch have, or else the header, which wheels have too.
func libtorchVersion(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "build-version"))
	if err == nil {
		v, _, _ := strings.Cut(strings.TrimSpace(string(data)), "+") // 2.1.0+cpu
		return v, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	data, err = os.ReadFile(filepath.Join(dir, versionHeader))
	if err != nil {
		return "", err
	}
	m := versionLine.FindSubmatch(data)
	if m == nil {
		return "", fmt.Errorf("%s does not say TORCH_VERSION", versionHeader)
	}
	return string(m[1]), nil
}

// cxxABI tells by a function of libc10 that takes a std::string which of libstdc++'s two ABIs the library speaks:
// the older mangles the type as Ss, the newer names it std::__cxx11::basic_string.
func cxxABI(lib string) (string, error) {
	f, err := elf.Open(lib)
	if err != nil {
		return "", fmt.Errorf("%s: %w", lib, err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return "", fmt.Errorf("%s: %w", lib, err)
	}
	for _, sym := range symbols {
		if sym.Section == elf.SHN_UNDEF || !strings.HasPrefix(sym.Name, "_ZN3c106detail14torchCheckFail") {
			continue
		}
		switch {
		case strings.HasSuffix(sym.Name, "RKSs"):
			return "0", nil
		case strings.Contains(sym.Name, "__cxx11"):
			return "1", nil
		}
	}
	return "", fmt.Errorf("%s: C++ ABI not recognized: c10::detail::torchCheckFail(..., const std::string&) expected among its symbols", lib)
}
