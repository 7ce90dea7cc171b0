package hub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qakd/qakd/pkg/hub"
)

// TestEnvironment: the variables mean what they mean to the Python client.
func TestEnvironment(t *testing.T) {
	home, user := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "token"), []byte("hf_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(home, "bad")
	if err := os.WriteFile(bad, []byte("hf_a\nhf_b"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{"HF_HOME", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
	for _, tt := range []struct {
		env     map[string]string
		cache   string
		token   string
		offline bool
		err     string
	}{
		{nil, user + "/.cache/huggingface/hub", "", false, ""},
		{map[string]string{"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub", "", false, ""},
		{map[string]string{"HF_HOME": home}, home + "/hub", "hf_file", false, ""},
		{map[string]string{"HF_HOME": "~/hf"}, user + "/hf/hub", "", false, ""},
		{map[string]string{"HF_HOME": home, "HF_HUB_CACHE": "$HOME/c", "HF_TOKEN": " hf_env\n"}, user + "/c", "hf_env", false, ""},
		{map[string]string{"HF_HOME": home, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes", "HF_TOKEN": "x"}, home + "/hub", "", false, ""},
		{map[string]string{"HF_HUB_OFFLINE": "1", "HUGGINGFACE_HUB_CACHE": "/c", "HF_ENDPOINT": "https://mirror.example/hf/"}, "/c", "", true, ""},
		{map[string]string{"HF_HUB_OFFLINE": "0"}, user + "/.cache/huggingface/hub", "", false, ""},
		{map[string]string{"TRANSFORMERS_OFFLINE": "True"}, user + "/.cache/huggingface/hub", "", true, ""},
		{map[string]string{"HF_ENDPOINT": "mirror.example"}, "", "", false, `hub: HF_ENDPOINT is "mirror.example", want a URL`},
		{map[string]string{"HF_ENDPOINT": "ftp://mirror.example"}, "", "", false, `hub: HF_ENDPOINT is`},
		{map[string]string{"HF_TOKEN": "hf_a b"}, "", "", false, "hub: the token in HF_TOKEN has spaces"},
		{map[string]string{"HF_TOKEN_PATH": bad}, "", "", false, "hub: the token in " + bad + " has"},
		{map[string]string{"HF_TOKEN_PATH": home}, "", "", false, "hub: token file: read " + home},
	} {
		for _, name := range all {
			t.Setenv(name, tt.env[name])
		}
		t.Setenv("HOME", user)
		c, err := hub.NewClient()
		if tt.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) || strings.Contains(err.Error(), "hf_a") {
				t.Errorf("%v: %v, want %s", tt.env, err, tt.err)
			}
			continue
		}
		if err != nil || c.Cache != tt.cache || c.Token != tt.token || c.Offline != tt.offline {
			t.Errorf("%v: %+v, %v", tt.env, c, err)
			continue
		}
		if want := map[bool]string{true: "https://mirror.example/hf", false: hub.DefaultEndpoint}[tt.env["HF_ENDPOINT"] != ""]; c.Endpoint != want {
			t.Errorf("%v: endpoint %s", tt.env, c.Endpoint)
		}
	}
}
