package native

import "embed"

// What the C of other packages includes is part of this package's object, so that a change in it rebuilds those that import it:
// the build cache looks at headers of a package's own folder only.
//
//go:embed activation.h native.h quantize.h vectors.h
var headers embed.FS

var _ = headers
