// Package browse drives pages in a headless Chromium, for tests. Where the machine has none the test is skipped.
package browse

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Chromium finds the browser; ok is false where the machine has none.
func Chromium() (path string, ok bool) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// A Tab drives a page, and ends the test where that does not work.
type Tab struct {
	*testing.T
	Ctx      context.Context //nolint:containedctx // of the browser, as long as the test
	seen     *complaints
	pictures string
}

// complaints are what went wrong in the pages of a tab.
type complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *complaints) say(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, s)
}

// timeout is for all that a tab does.
const timeout = 9 * time.Minute

// Open starts a Chromium with a window of so many pixels. pictures names a variable of the environment with a folder where Shot keeps
// pictures. Where offline is set, every request that leaves the disk is a complaint.
func Open(t *testing.T, width, height int, pictures string, offline bool) Tab {
	t.Helper()
	path, ok := Chromium()
	if !ok {
		t.Skip("no Chromium on PATH")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(width, height))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	b := Tab{T: t, seen: &complaints{}, pictures: os.Getenv(pictures)}
	if err := chromedp.Listen(ctx, func(ev any) { b.seen.hear(ev, offline) }); err != nil {
		t.Fatal(err)
	}
	b.Ctx, cancel = context.WithTimeout(ctx, timeout)
	t.Cleanup(cancel)
	return b
}

func (c *complaints) hear(ev any, offline bool) {
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		c.say("exception: " + e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			c.say("console: " + string(e.Type))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			c.say("log: " + e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; offline && !strings.HasPrefix(url, "file:") && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") {
			c.say("request: " + url)
		}
	}
}

// In is the same tab in a subtest.
func (b Tab) In(t *testing.T) Tab {
	b.T = t
	return b
}

// Wrong returns the exceptions, errors and warnings in the pages so far.
func (b Tab) Wrong() []string {
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	return slices.Clone(b.seen.all)
}

// Do runs steps; what names them where one fails.
func (b Tab) Do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.Ctx, steps...); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// Show opens an address and waits for the element with an id.
func (b Tab) Show(url, id string) {
	b.Helper()
	b.Do("opening "+url, chromedp.Navigate(url), chromedp.WaitReady(chromedp.ID(id)))
}

// Eval returns the value of an expression in the page.
func Eval[T any](b Tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.Ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// patience is how long Until waits.
const patience = 30 * time.Second

// Until waits for an expression to hold, on whatever page the tab comes to.
func (b Tab) Until(expression string) {
	b.Helper()
	var err error
	for end := patience; end > 0; end -= 50 * time.Millisecond {
		var ok bool
		if ok, err = chromedp.Run(b.Ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && ok {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	at, _ := chromedp.Run(b.Ctx, chromedp.Evaluate[string](`location.href + " " + document.body.innerText.slice(0, 300)`))
	b.Fatalf("not in %v: %s (%v); the page is %s", patience, expression, err, at)
}

// Text is that of the element with an id.
func (b Tab) Text(id string) string {
	b.Helper()
	return Eval[string](b, `document.getElementById("`+id+`").textContent`)
}

// Shot keeps a picture of what the tab shows, where somebody wants to look.
func (b Tab) Shot(name string) {
	b.Helper()
	if b.pictures == "" {
		return
	}
	png, err := chromedp.Run(b.Ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.pictures, name+".png"), png, 0o600); err != nil {
		b.Fatal(err)
	}
}

// Looked says whether pictures are kept.
func (b Tab) Looked() bool { return b.pictures != "" }

// Colours has pages drawn for a colour scheme: light or dark.
func Colours(scheme string) chromedp.Action[chromedp.Void] {
	return Media(emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// Media has pages drawn for a medium.
func Media(p emulation.SetEmulatedMediaParams) chromedp.Action[chromedp.Void] {
	return Tell(emulation.SetEmulatedMedia, p)
}

// Tell is a command to the browser.
func Tell[P any](c cdp.Command[P, cdp.Empty], p P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, c, p)
		return chromedp.Void{}, err
	}
}

// TooWide is an expression that names what sticks out of the page at its right side, where nothing scrolls it; "" where nothing does.
const TooWide = `(() => {
	const w = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth <= w) return "";
	const out = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest(".wide > *"));
	return "the page is " + document.documentElement.scrollWidth + " wide: " + out.slice(0, 4).map(e => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 40)).join("; ");
})()`
