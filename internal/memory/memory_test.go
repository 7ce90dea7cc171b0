package memory

import (
	"strings"
	"testing"
)

const status = "Name:\tx\nVmHWM:\t    3000 kB\nVmRSS:\t    2500 kB\nRssAnon:\t    2000 kB\nRssFile:\t     400 kB\nRssShmem:\t     100 kB\n"

func TestParse(t *testing.T) {
	u, err := parse(status)
	if want := (Usage{2000 << 10, 500 << 10, 3000 << 10}); err != nil || u != want {
		t.Errorf("%+v, %v, want %+v", u, err, want)
	}
	for bad, want := range map[string]string{"RssAnon:\t 5 kB\n": "1 of the 4 keys", strings.Replace(status, "2000", "many", 1): "RssAnon"} {
		if _, err := parse(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}

func TestPeak(t *testing.T) {
	if err := ResetPeak(); err != nil {
		t.Skip(err)
	}
	before, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	after, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	if d := after.Anonymous - before.Anonymous; d < size*9/10 {
		t.Errorf("%d bytes more after touching %d", d, size)
	}
	if peak, err := PeakAnonymous(); err != nil || peak < before.Anonymous+size*9/10 {
		t.Errorf("peak %d, %v, want at least %d", peak, err, before.Anonymous+size)
	}
	b[0] = 0
}
