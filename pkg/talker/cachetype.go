package talker

import (
	"fmt"

	"github.com/qakd/qakd/internal/native"
	"github.com/sugarme/gotch"
)

// CacheType is how native steppers keep keys and values. A row of a talker or code predictor takes
// 2·layers·kv heads·(bytes of a head): 4 D for f32, 2 D for bf16, D + 4 for int8 (INT8 codes, symmetric, with a float32
// scale for each head and row). That is, at the published shapes:
//
//	        talker (28 layers, 8 heads of 128)   code predictor (5 layers)
//	f32     224 KiB a row                        40 KiB
//	bf16    112 KiB                              20 KiB
//	int8     58 KiB                              10 KiB
type CacheType string

// The types of caches; the zero value is that of the model's activations: bf16 of a bf16 model, else f32.
const (
	CacheDefault CacheType = ""
	CacheF32     CacheType = "f32"
	CacheBF16    CacheType = "bf16"
	CacheINT8    CacheType = "int8"
)

// Validate refuses other words.
func (t CacheType) Validate() error {
	_, err := t.kind(gotch.Float)
	return err
}

func (t CacheType) kind(model gotch.DType) (native.Kind, error) {
	switch {
	case t == CacheBF16, t == CacheDefault && model == gotch.BFloat16:
		return native.BF16, nil
	case t == CacheF32, t == CacheDefault:
		return native.F32, nil
	case t == CacheINT8:
		return native.INT8, nil
	}
	return 0, fmt.Errorf("talker: cache type %q, want f32, bf16 or int8", string(t))
}
