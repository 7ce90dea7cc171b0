module example.com/external

go 1.26.0

// Neither requirement can be had as it stands: gotch has to be the patched copy, and QAKD's C++ finds libtorch beside a
// checkout that was set up. `scripts/setup.sh THIS-FOLDER`, run in such a checkout, writes a go.work here with
//
//	replace (
//		github.com/sugarme/gotch => CACHE/qakd/torch-2.1.0-cpu/gotch-v0.9.1-rN
//		github.com/qakd/qakd => CHECKOUT
//	)
//
// The same two lines may stand in this file instead.
require (
	github.com/qakd/qakd v0.0.0
	github.com/sugarme/gotch v0.9.1
)
