package track

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestCounterInAPipe(t *testing.T) {
	var b bytes.Buffer
	c := NewCounter(&b, "frames", 3)
	for _, n := range []int64{1, 1, 2, 3, 4, 5, 6, 6, 7} {
		if err := c.At(n, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "1 frames x\n3 frames x\n6 frames x\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestCounterOnATerminal(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(0, 0)
	c := NewCounter(&b, "frames", 3)
	c.terminal, c.now = true, func() time.Time { return now }
	for n := int64(1); n <= 5; n++ {
		now = now.Add(40 * time.Millisecond)
		if err := c.At(n, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	drawn := strings.Split(b.String(), "\r\x1b[K")[1:]
	if len(drawn) != 3 || drawn[0] != "1 frames " || drawn[1] != "4 frames " || drawn[2] != "5 frames \n" {
		t.Errorf("drawn %q, want 1, then 4 a tenth of a second later, then the last", drawn)
	}
}

// A report of several steps at once counts as several.
func TestSpeedOfJumps(t *testing.T) {
	now := time.Unix(0, 0)
	m := meter{now: func() time.Time { return now }}
	m.begin(0, 100)
	now = now.Add(2 * time.Second)
	m.update(Step{Step: 20})
	if got := m.speed(); got != "10.00 step/s" {
		t.Errorf("20 steps in 2 s are %s", got)
	}
	if got := m.left(); got != 8*time.Second {
		t.Errorf("left %v, want 8s", got)
	}
}
