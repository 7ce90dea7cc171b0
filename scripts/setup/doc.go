// Setup makes a checkout buildable: after it, plain `go run`, `go build` and `go test` work, with nothing exported,
// nothing edited in the module cache and nothing written by `go env -w`.
//
//	[LIBTORCH=DIR] [CUDA=1] scripts/setup.sh [MODULE-DIR ...]
//
// It leaves three things in the checkout, all ignored by git:
//
//	.deps                       link to a folder of the per-user cache (DEPS below)
//	go.work                     replaces gotch by the patched copy in DEPS
//	internal/shim/cgo_flags.go  compiler and linker flags for our own C++
//
// and one folder per libtorch in ${XDG_CACHE_HOME:-~/.cache}/qakd:
//
//	DEPS/torch/{include,lib}    libtorch 2.1.0; lib holds one OpenMP runtime under the name libgomp.so.1
//	DEPS/nvidia/...             libraries that libtorch_cpu needs even without a GPU
//	DEPS/gotch-VERSION-REVISION the patched copy of gotch with its own lib.go
//	DEPS/setup.json             where it came from; written last
//
// The folder has one absolute path per user on purpose. cgo flags hold absolute paths, so the Go build cache serves the
// copy of gotch, a hundred seconds of compiling, to every clone of the repository only if the path does not change.
//
// # Where libtorch comes from
//
// LIBTORCH, an existing install of version 2.1.0: DEPS then holds links into it. Else the wheel of PyTorch 2.1.0, fetched
// with pip and unpacked here; of it only the CPU libraries and the headers are kept. CUDA=1 keeps the CUDA 12.1 libraries
// as well. Without LIBTORCH and CUDA a checkout keeps what it was set up with before; remove .deps to start over.
// libstdc++ has two ABIs and a libtorch binary speaks one of them; it is read off the symbols of libc10.
//
// # What has been run
//
// Linux x86-64 on the CPU. Not run: CUDA=1, Linux arm64, macOS arm64. Their wheels' names and layouts are from the
// wheels themselves.
//
// # Interruption and company
//
// Every wheel is fetched into a temporary folder and renamed when whole, so a second try fetches only what is missing.
// Folders of DEPS are made under another name and renamed. A file lock in the cache lets one set-up at a time change it;
// when nothing is missing no lock is taken.
//
// # Other modules
//
// A module that imports this one needs the same copy of gotch, and this checkout in place of our module. For each
// MODULE-DIR a go.work that says so is written there. The checkout must stay where it is.
package main
