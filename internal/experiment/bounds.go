package experiment

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// What an experiment may ask for. A few lines of lists multiply to more arms than a machine can hold the names of, so they are
// counted before any is made.
const (
	MaxVariants = 10_000 // of organisms and interventions, in all
	MaxArms     = 10_000 // organisms × interventions × seeds
	MaxSeeds    = 1_000
	maxProblems = 500 // that are listed

	maxCount = 1_000_000_000 // of steps, prompts, tokens and whatever else is counted
	maxBatch = 1 << 20
	maxRank  = 1 << 16 // of an adapter; a rank above a matrix's smaller side says no more than that side does
)

// A factor is something that the number of arms is multiplied by.
type factor struct {
	what string
	n    int
}

// product multiplies factors without overflow: what is beyond counting is infinite.
func product(factors []factor) float64 {
	p := 1.0
	for _, f := range factors {
		p *= float64(f.n)
	}
	return p
}

// listing writes factors as "lr 300 × rank 20".
func listing(factors []factor) string {
	words := make([]string, len(factors))
	for i, f := range factors {
		words[i] = fmt.Sprintf("%s %d", f.what, f.n)
	}
	return strings.Join(words, " × ")
}

// count refuses a sweep whose lists multiply to too many variants, before one is made.
func (d *decoder) count(n *yaml.Node, path string, lists []factor) bool {
	total := product(lists)
	if float64(d.variants)+total > MaxVariants {
		d.problem(n, path, "the lists multiply to %s variants (%s), and a file has at most %d: shorten a list, or split the file", amount(total), listing(lists), MaxVariants)
		return false
	}
	d.variants += int(total)
	for _, f := range lists {
		d.factors = append(d.factors, factor{join(path, f.what), f.n})
	}
	return true
}

// amount writes a number for people.
func amount(n float64) string {
	if n < 1e6 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.3g", n)
}

// arms counts what the file expands into and refuses too many.
func (f *File) arms() {
	if len(f.src.problems) > 0 {
		return // a chain may lead nowhere
	}
	var total float64
	for i, organism := range f.Organisms.Names {
		known := map[string]float64{}
		var each float64
		for _, name := range f.Interventions.Names {
			each += f.armsOf(organism, name, known)
		}
		total += float64(len(f.Organisms.Items[i].Variants)) * each
	}
	total *= float64(len(f.Seed))
	if total <= MaxArms {
		return
	}
	factors := []factor{{"organisms", len(f.Organisms.Names)}, {"interventions", len(f.Interventions.Names)}}
	factors = append(factors, f.src.factors...)
	factors = append(factors, factor{"seed", len(f.Seed)})
	factors = slices.DeleteFunc(factors, func(x factor) bool { return x.n < 2 })
	f.say("interventions", "the file asks for %s arms (%s), at most %d: shorten a list, or split the file", amount(total), listing(factors), MaxArms)
}

// armsOf is how many arms an intervention makes on one variant of an organism: one for each arm that it follows.
func (f *File) armsOf(organism, name string, known map[string]float64) float64 {
	if n, ok := known[name]; ok {
		return n
	}
	known[name] = 0 // chains in circles were refused
	sw, _ := f.Interventions.Get(name)
	var n float64
	for _, v := range sw.Variants {
		switch {
		case len(v.Value.Organisms) > 0 && !slices.Contains(v.Value.Organisms, organism):
		case v.Value.After == "":
			n++
		default:
			n += f.armsOf(organism, v.Value.After, known)
		}
	}
	known[name] = min(n, math.MaxFloat64)
	return known[name]
}
