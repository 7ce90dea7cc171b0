// Package qakd holds what the programs of this module share as files: the experiments.
//
// The library is in the packages below pkg: qat makes any gotch model quantization-aware, talker is Qwen3-TTS, distill
// trains it against its teacher. The programs in examples compose them.
package qakd

import _ "embed"

// Experiments is experiments.toml, for programs that run outside the checkout.
//
//go:embed experiments.toml
var Experiments []byte
