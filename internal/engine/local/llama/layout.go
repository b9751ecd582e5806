package llama

import "fmt"

// A Tensor is one named parameter inside an arena of float32.
type Tensor struct {
	Name  string // as in a Hugging Face checkpoint
	Rows  int    // 1 for a vector
	Cols  int
	At    int  // offset in the arena
	Decay bool // weight decay applies: to matrices, never to norms and biases
}

// Len is the number of elements.
func (t Tensor) Len() int { return t.Rows * t.Cols }

// Shape is the tensor's shape in a checkpoint.
func (t Tensor) Shape() []int {
	if t.Rows == 1 && !t.Decay {
		return []int{t.Cols}
	}
	return []int{t.Rows, t.Cols}
}

// layout lists the tensors of an arena in order. Tensors follow each other without gaps, so neighbours whose inputs are the
// same (q, k, v; gate, up) can be read as one fused matrix.
type layout struct {
	tensors []Tensor
	size    int
}

func (l *layout) matrix(name string, rows, cols int) int {
	return l.add(Tensor{Name: name, Rows: rows, Cols: cols, Decay: true})
}

func (l *layout) vector(name string, n int) int {
	return l.add(Tensor{Name: name, Rows: 1, Cols: n})
}

func (l *layout) add(t Tensor) int {
	t.At = l.size
	l.tensors = append(l.tensors, t)
	l.size += t.Len()
	return t.At
}

// fullLayer are the offsets of one layer's full weights; -1 where the architecture has none.
type fullLayer struct {
	norm1, norm2 int // (D)
	qkv, bias    int // (Q+2KV, D), (Q+2KV)
	qNorm, kNorm int // (HeadDim)
	o            int // (D, Q)
	gateUp       int // (2F, D)
	down         int // (D, F)
}

// fullLayout are the full weights.
type fullLayout struct {
	layout
	embed, norm, head int // head == embed where tied
	layers            []fullLayer
}

func newFullLayout(c Config) *fullLayout {
	l := &fullLayout{}
	q, kv := c.qWidth(), c.kvWidth()
	l.embed = l.matrix("model.embed_tokens.weight", c.Vocab, c.Hidden)
	for i := range c.Layers {
		name := func(s string) string { return fmt.Sprintf("model.layers.%d.%s", i, s) }
		f := fullLayer{bias: -1, qNorm: -1, kNorm: -1}
		f.norm1 = l.vector(name("input_layernorm.weight"), c.Hidden)
		f.qkv = l.matrix(name("self_attn.q_proj.weight"), q, c.Hidden)
		l.matrix(name("self_attn.k_proj.weight"), kv, c.Hidden)
		l.matrix(name("self_attn.v_proj.weight"), kv, c.Hidden)
		if c.QKVBias {
			f.bias = l.vector(name("self_attn.q_proj.bias"), q)
			l.vector(name("self_attn.k_proj.bias"), kv)
			l.vector(name("self_attn.v_proj.bias"), kv)
		}
		if c.QKNorm {
			f.qNorm = l.vector(name("self_attn.q_norm.weight"), c.HeadDim)
			f.kNorm = l.vector(name("self_attn.k_norm.weight"), c.HeadDim)
		}
		f.o = l.matrix(name("self_attn.o_proj.weight"), c.Hidden, q)
		f.norm2 = l.vector(name("post_attention_layernorm.weight"), c.Hidden)
		f.gateUp = l.matrix(name("mlp.gate_proj.weight"), c.FFN, c.Hidden)
		l.matrix(name("mlp.up_proj.weight"), c.FFN, c.Hidden)
		f.down = l.matrix(name("mlp.down_proj.weight"), c.Hidden, c.FFN)
		l.layers = append(l.layers, f)
	}
	l.norm = l.vector("model.norm.weight", c.Hidden)
	l.head = l.embed
	if !c.Tied {
		l.head = l.matrix("lm_head.weight", c.Vocab, c.Hidden)
	}
	return l
}

// Parameters is the number of full weights of a model.
func (c Config) Parameters() int { return newFullLayout(c).size }

// Tensors lists the tensors of a checkpoint in the order of the arena. The list is as long as the configuration says: where
// that comes from a stranger, its Layers are to be compared with what is there first.
func (c Config) Tensors() []Tensor { return newFullLayout(c).tensors }

// AdapterParameters is the number of weights of an adapter of that rank.
func (c Config) AdapterParameters(rank int) int { return newLoRALayout(c, rank).size }

// AdapterTensors lists the tensors of an adapter of that rank in the order of the arena.
func (c Config) AdapterTensors(rank int) []Tensor { return newLoRALayout(c, rank).tensors }

// loraLayer are the offsets of one layer's adapter. The A matrices of projections with the same input follow each other and
// are read as one.
type loraLayer struct {
	aQKV, bQ, bK, bV int // (3R, D), (Q, R), (KV, R), (KV, R)
	aO, bO           int // (R, Q), (D, R)
	aGU, bGate, bUp  int // (2R, D), (F, R), (F, R)
	aDown, bDown     int // (R, F), (D, R)
}

type loraLayout struct {
	layout
	layers []loraLayer
}

func newLoRALayout(c Config, rank int) *loraLayout {
	l := &loraLayout{}
	q, kv := c.qWidth(), c.kvWidth()
	for i := range c.Layers {
		mat := func(proj, ab string, rows, cols int) int {
			return l.matrix(fmt.Sprintf("base_model.model.model.layers.%d.%s.lora_%s.weight", i, proj, ab), rows, cols)
		}
		var f loraLayer
		f.aQKV = mat("self_attn.q_proj", "A", rank, c.Hidden)
		mat("self_attn.k_proj", "A", rank, c.Hidden)
		mat("self_attn.v_proj", "A", rank, c.Hidden)
		f.bQ = mat("self_attn.q_proj", "B", q, rank)
		f.bK = mat("self_attn.k_proj", "B", kv, rank)
		f.bV = mat("self_attn.v_proj", "B", kv, rank)
		f.aO = mat("self_attn.o_proj", "A", rank, q)
		f.bO = mat("self_attn.o_proj", "B", c.Hidden, rank)
		f.aGU = mat("mlp.gate_proj", "A", rank, c.Hidden)
		mat("mlp.up_proj", "A", rank, c.Hidden)
		f.bGate = mat("mlp.gate_proj", "B", c.FFN, rank)
		f.bUp = mat("mlp.up_proj", "B", c.FFN, rank)
		f.aDown = mat("mlp.down_proj", "A", rank, c.FFN)
		f.bDown = mat("mlp.down_proj", "B", c.Hidden, rank)
		l.layers = append(l.layers, f)
	}
	return l
}
