package report

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strconv"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// pngScale is pixels a unit: sharp in print and on dense screens. A figure that would have more than maxPixels is drawn smaller, down to
// one pixel a unit, and beyond that as SVG only.
const pngScale, maxPixels = 2, 3_000_000

// printDots are the dots an inch of a figure that has the width of a paper's column.
const printDots = 300

// png draws the figure in light colours on white. ok is false where it is too large to be of use as pixels.
func (f *figure) png() (data []byte, ok bool, err error) {
	want := float64(pngScale)
	if f.points > 0 {
		want = f.points / f.w * printDots / 72
	}
	scale := min(want, math.Sqrt(maxPixels/(f.w*f.h)))
	if scale < 1 && f.w*f.h > 4*maxPixels {
		return nil, false, nil
	}
	scale = max(scale, 1)
	w, h := int(math.Ceil(f.w*scale)), int(math.Ceil(f.h*scale))
	c := canvas{img: image.NewRGBA(image.Rect(0, 0, w, h)), scale: scale}
	draw.Draw(c.img, c.img.Bounds(), image.White, image.Point{}, draw.Src)
	for _, s := range f.shapes {
		if err := c.draw(s); err != nil {
			return nil, false, fmt.Errorf("drawing %s: %w", f.title, err)
		}
	}
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, c.img); err != nil {
		return nil, false, fmt.Errorf("encoding %s: %w", f.title, err)
	}
	return b.Bytes(), true, nil
}

type canvas struct {
	img   *image.RGBA
	scale float64
}

func (c *canvas) draw(s shape) error {
	st := styles[s.class]
	if s.text != "" {
		return c.text(s, st)
	}
	if st.fill != "" {
		c.fill([][]pt{s.pts}, paint(st.fill, st.opacity))
	}
	if st.stroke != "" {
		line := s.pts
		if s.closed {
			line = append(line[:len(line):len(line)], line[0])
		}
		for _, part := range dashes(line, st.dash) {
			c.fill(outline(part, st.width), paint(st.stroke, st.opacity))
		}
	}
	return nil
}

func paint(name string, opacity float64) color.Color {
	hex := colour(name, false)
	v, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		panic("report: colour " + hex)
	}
	if opacity == 0 {
		opacity = 1
	}
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: uint8(255 * opacity)}
}

// fill rasterises polygons together, within the box they need.
func (c *canvas) fill(polygons [][]pt, col color.Color) {
	low, high := pt{math.Inf(1), math.Inf(1)}, pt{math.Inf(-1), math.Inf(-1)}
	for _, poly := range polygons {
		for _, p := range poly {
			low = pt{min(low.x, p.x), min(low.y, p.y)}
			high = pt{max(high.x, p.x), max(high.y, p.y)}
		}
	}
	box := image.Rect(int(math.Floor(low.x*c.scale)), int(math.Floor(low.y*c.scale)),
		int(math.Ceil(high.x*c.scale))+1, int(math.Ceil(high.y*c.scale))+1)
	if box.Empty() || !box.Overlaps(c.img.Bounds()) {
		return
	}
	r := vector.NewRasterizer(box.Dx(), box.Dy())
	for _, poly := range polygons {
		for i, p := range poly {
			x, y := float32(p.x*c.scale-float64(box.Min.X)), float32(p.y*c.scale-float64(box.Min.Y))
			if i == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
	}
	r.Draw(c.img, box, image.NewUniform(col), image.Point{})
}

// outline is a polyline's stroke as polygons, all wound the same way so that overlaps do not cancel: a quadrilateral a segment, an
// octagon a joint.
func outline(line []pt, width float64) [][]pt {
	var polygons [][]pt
	half := width / 2
	for i, p := range line {
		if i > 0 {
			q := line[i-1]
			dx, dy := p.x-q.x, p.y-q.y
			if d := math.Hypot(dx, dy); d > 0 {
				nx, ny := -dy/d*half, dx/d*half
				polygons = append(polygons, []pt{{q.x - nx, q.y - ny}, {p.x - nx, p.y - ny}, {p.x + nx, p.y + ny}, {q.x + nx, q.y + ny}})
			}
		}
		if half < 0.4 { // a joint of a hairline does not show
			continue
		}
		joint := make([]pt, 8)
		for k := range joint {
			a := float64(k) * math.Pi / 4
			joint[k] = pt{p.x + half*math.Cos(a), p.y + half*math.Sin(a)}
		}
		polygons = append(polygons, joint)
	}
	return polygons
}

// dashes cuts a polyline by a pattern of drawn and left-out lengths.
func dashes(line []pt, pattern []float64) [][]pt {
	if len(pattern) == 0 || len(line) < 2 {
		return [][]pt{line}
	}
	var parts [][]pt
	part := []pt{line[0]}
	left, on := pattern[0], 0
	for i := 1; i < len(line); i++ {
		from, to := line[i-1], line[i]
		for {
			d := math.Hypot(to.x-from.x, to.y-from.y)
			if d <= left {
				left -= d
				part = append(part, to)
				break
			}
			cut := pt{from.x + (to.x-from.x)*left/d, from.y + (to.y-from.y)*left/d}
			if on%2 == 0 {
				parts = append(parts, append(part, cut))
			}
			part, from = []pt{cut}, cut
			on++
			left = pattern[on%len(pattern)]
		}
	}
	if on%2 == 0 && len(part) > 1 {
		parts = append(parts, part)
	}
	return parts
}

var typeface = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(goregular.TTF) })

func (c *canvas) text(s shape, st style) error {
	parsed, err := typeface()
	if err != nil {
		return err
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: s.size * c.scale, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return err
	}
	width := float64(font.MeasureString(face, s.text)) / 64
	x, y := s.pts[0].x*c.scale, s.pts[0].y*c.scale
	shift := map[string]float64{"middle": width / 2, "end": width}[s.anchor]
	if !s.rotate {
		d := font.Drawer{Dst: c.img, Src: image.NewUniform(paint(st.fill, st.opacity)), Face: face, Dot: fixed.Point26_6{
			X: fixed.Int26_6((x - shift) * 64), Y: fixed.Int26_6(y * 64),
		}}
		d.DrawString(s.text)
		return face.Close()
	}
	// Text that reads upwards is drawn flat and turned.
	size := int(s.size*c.scale) + 2
	flat := image.NewAlpha(image.Rect(0, 0, int(width)+4, 2*size))
	d := font.Drawer{Dst: flat, Src: image.Opaque, Face: face, Dot: fixed.P(1, size)}
	d.DrawString(s.text)
	b := flat.Bounds()
	turned := image.NewAlpha(image.Rect(0, 0, b.Dy(), b.Dx()))
	for i := range b.Dx() {
		for j := range b.Dy() {
			turned.SetAlpha(j, b.Dx()-1-i, flat.AlphaAt(i, j))
		}
	}
	at := image.Pt(int(x)-size, int(y+shift)-b.Dx())
	draw.DrawMask(c.img, turned.Bounds().Add(at), image.NewUniform(paint(st.fill, st.opacity)), image.Point{}, turned, image.Point{}, draw.Over)
	return face.Close()
}
