package dashboard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzPage looks for addresses that end in a panic, in an error of the server's own, or in text of unknown origin that is not escaped.
func FuzzPage(f *testing.F) {
	v := visit(f, 10)
	handler := v.site.Handler()
	for name, path := range v.views() {
		if name != "figure, PNG" { // slow, and drawn as the others are
			f.Add(path)
		}
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := url.Parse(address)
		if err != nil || u.Path == "/events" || strings.Contains(u.Path, "figure/") && strings.Count(u.RawQuery, "arm=") > 2 {
			t.Skip()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/", nil)
		req.URL = u
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") != policy {
			t.Error("no content policy")
		}
		if body := w.Body.String(); strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") && (strings.Contains(body, "<script>") || strings.Contains(body, "\x1b")) {
			t.Errorf("not escaped: %.500s", body)
		}
	})
}
