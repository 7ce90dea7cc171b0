package main

import (
	"fmt"
	"io"
	"time"

	"github.com/qakd/qakd/pkg/audio"
	"github.com/qakd/qakd/pkg/report"
	"github.com/qakd/qakd/pkg/tts"
)

// result is what -json prints.
type result struct {
	Out         string  `json:"out"`
	Rate        int     `json:"rate"`
	Frames      int     `json:"frames"`
	Samples     int     `json:"samples"`
	Seconds     float64 `json:"seconds"`
	Ended       bool    `json:"ended"` // by the model, not cut by max_new_tokens
	FirstFrame  float64 `json:"first_frame_s"`
	FirstPacket float64 `json:"first_packet_s"`
	Decoding    float64 `json:"decoding_s"`
	Total       float64 `json:"total_s"`
	RealTime    float64 `json:"real_time_factor"`
	Decoder     string  `json:"decoder"` // native kernels and which, or libtorch and why
}

func show(w io.Writer, f flags, t *tts.Synthesizer, s *tts.Sound) error {
	rate := t.Rate()
	lasts := audio.Clip{Rate: rate, Samples: s.Samples}.Duration()
	r := result{
		Out: f.Out, Rate: rate, Frames: len(s.Codes), Samples: len(s.Samples), Seconds: lasts.Seconds(), Ended: s.Ended,
		FirstFrame: s.Timing.FirstFrame.Seconds(), FirstPacket: s.Timing.FirstSound.Seconds(),
		Decoding: s.Timing.Decoding.Seconds(), Total: s.Timing.Total.Seconds(), RealTime: s.Timing.RealTimeFactor(lasts), Decoder: t.Steppers.String(),
	}
	if f.JSON {
		return report.JSON(w, r)
	}
	end := "the model's own"
	if !s.Ended {
		end = "cut by max_new_tokens or the last position"
	}
	fmt.Fprintf(w, "decoded with %s\n", r.Decoder)
	table := &report.Table{Title: f.Out, Columns: []string{"frames", "sound", "end", "first packet", "decoding", "total", "real-time factor"}}
	table.Add(r.Frames, round(lasts), end, round(s.Timing.FirstSound), round(s.Timing.Decoding), round(s.Timing.Total), r.RealTime)
	return table.Text(w)
}

func round(d time.Duration) string { return fmt.Sprint(d.Round(time.Millisecond)) }
