package talker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/nn"
)

func watched(ctx context.Context, m *Model, prompts []Prompt, s Sampling, w Watch) ([]Speech, error) {
	talker, predictor := m.TalkerStepper(), m.PredictorStepper()
	defer talker.Close()
	defer predictor.Close()
	return m.GenerateWatched(ctx, talker, predictor, prompts, s, w)
}

// Frames are told one by one while speech goes on, step by step across a batch, and are those that are returned; watching
// changes nothing.
func TestOnFrame(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	s := DefaultSampling()
	s.MaxNewTokens, s.Seed = 12, 3
	prompts := sampledPrompts(t, m, 3)
	want, err := m.Generate(context.Background(), prompts, s)
	if err != nil {
		t.Fatal(err)
	}
	told := make([][][]int32, len(prompts))
	var order []int
	got, err := watched(context.Background(), m, prompts, s, Watch{OnFrame: func(prompt int, frame []int32) error {
		order = append(order, len(told[prompt]))
		told[prompt] = append(told[prompt], frame)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("watched %v, unwatched %v", got, want)
	}
	for i := range want {
		if !reflect.DeepEqual(told[i], want[i].Codes) {
			t.Errorf("prompt %d: told %v, want %v", i, told[i], want[i].Codes)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("frame numbers came as %v, want step by step", order)
	}
}

// An error of the watcher and a cancelled context end decoding at once.
func TestWatcherStops(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	s := DefaultSampling()
	s.MinNewTokens, s.MaxNewTokens = 1000, 1000
	full := errors.New("the disk is full")
	frames := 0
	_, err := watched(context.Background(), m, sampledPrompts(t, m, 1), s, Watch{OnFrame: func(int, []int32) error {
		if frames++; frames == 3 {
			return full
		}
		return nil
	}})
	if !errors.Is(err, full) || frames != 3 {
		t.Errorf("error %v after %d frames, want the watcher's after 3", err, frames)
	}
	ctx, cancel := context.WithCancel(context.Background())
	frames = 0
	_, err = watched(ctx, m, sampledPrompts(t, m, 1), s, Watch{OnFrame: func(int, []int32) error {
		if frames++; frames == 2 {
			cancel()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) || frames != 2 {
		t.Errorf("error %v after %d frames, want context.Canceled after 2", err, frames)
	}
}

// The states that frames were drawn from are the reference's.
func TestHiddenOfFrames(t *testing.T) {
	for _, fixture := range []string{"tiny-f32", "tiny-sharded"} {
		m := loadFixture(t, fixture)
		g := openGoldens(t, fixture, "generate.safetensors")
		for name, mode := range generationModes(t, fixture) {
			run(t, func(c *nn.Context) error {
				s := DefaultSampling()
				s.DoSample, s.SubDoSample, s.MaxNewTokens = false, false, mode.Max
				out, err := watched(context.Background(), m, goldenPrompts(t, m, c, g, name, mode), s, Watch{Hidden: true})
				if err != nil {
					return err
				}
				for b, speech := range out {
					item := fmt.Sprintf("%s.%d", name, b)
					if want := g.frames(c, item+".codes", m.Config.Groups()); !reflect.DeepEqual(speech.Codes, want) {
						t.Errorf("%s: codes %v, want %v", item, speech.Codes, want)
					}
					flat := slices.Concat(speech.Hidden...)
					wantClose(t, item+" hidden", c.FromFloats(flat, int64(len(flat))), c.Reshape(g.tensor(c, item+".hidden"), -1), 2e-4)
				}
				return nil
			})
		}
	}
}

// The least number of draws keeps the end away; greedily, so that without it speech ends where the reference ends.
func TestMinNewTokens(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	g := openGoldens(t, "tiny-sharded", "generate.safetensors")
	var prompts []Prompt
	run(t, func(c *nn.Context) error {
		prompts = goldenPrompts(t, m, c, g, "custom_full", generationModes(t, "tiny-sharded")["custom_full"])
		return nil
	})
	s := DefaultSampling()
	s.DoSample, s.SubDoSample, s.MaxNewTokens = false, false, 30
	for least, want := range map[int]int{1: 6, 2: 6, 6: 6, 7: 7} { // it would end at the 7th draw
		s.MinNewTokens = least
		out, err := m.Generate(context.Background(), prompts, s)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out[0].Codes); n < want || least <= 6 && n != want {
			t.Errorf("min_new_tokens %d: %d frames, want %d", least, n, want)
		}
	}
	s.MinNewTokens, s.MaxNewTokens = 9, 8
	if _, err := m.Generate(context.Background(), prompts, s); err == nil || !strings.Contains(err.Error(), `"max_new_tokens": value 8, want at least min_new_tokens 9`) {
		t.Errorf("error %v, want both numbers", err)
	}
}

// Speech stops at the model's last position, whatever its company; what cannot begin is an error.
func TestPositionLimit(t *testing.T) {
	m := loadFixture(t, "tiny-sharded")
	s := DefaultSampling()
	s.MinNewTokens, s.MaxNewTokens = 50, 50
	prompts := sampledPrompts(t, m, 3)
	cfg := *m.Config
	cfg.Talker.MaxPositions = 20
	m.Config = &cfg
	out, err := m.Generate(context.Background(), prompts, s)
	if err != nil {
		t.Fatal(err)
	}
	for i, speech := range out {
		if want := 20 - len(prompts[i].Rows); len(speech.Codes) != want || speech.Ended {
			t.Errorf("%s: %d frames, ended %v, want %d, cut", speech.ID, len(speech.Codes), speech.Ended, want)
		}
		if _, err := prompts[i].Complete(&cfg, speech.Codes); err != nil {
			t.Errorf("%s: what was spoken does not fit: %v", speech.ID, err)
		}
	}
	cfg.Talker.MaxPositions = 15
	if _, err := m.Generate(context.Background(), prompts, s); err == nil || !strings.Contains(err.Error(), `"u2" with a frame: 16 rows, want at most max_position_embeddings 15`) {
		t.Errorf("error %v, want the prompt, its rows and the limit", err)
	}
}
