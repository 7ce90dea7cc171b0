package quant

// SetComposite turns the one-pass kernels off or on again.
func SetComposite(on bool) { composite = on }
