package export

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// However a table is cut into writes, its rows arrive whole and in order.
func TestRowReader(t *testing.T) {
	const width, rows = 3, 2*foldRows + 5
	var data []byte
	var want []float32
	for i := range rows * width {
		x := float32(i % 251)
		data, want = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(x)>>16)), append(want, x)
	}
	for _, piece := range []int{1, 5, 6, 7, 4096, len(data)} {
		var got []float32
		r := &rowReader{dtype: "BF16", width: width, each: func(x []float32) error {
			if len(x)%width != 0 || len(x) > foldRows*width {
				t.Fatalf("%d numbers at once", len(x))
			}
			got = append(got, x...)
			return nil
		}}
		for part := range slices.Chunk(data, piece) {
			if _, err := r.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) || r.numbers != int64(len(want)) || len(r.left) != 0 {
			t.Errorf("in pieces of %d: %d numbers, %d bytes left", piece, len(got), len(r.left))
		}
	}
}
