//go:build amd64 && !linux

package kernel

// tilesAllowed says no: how other systems grant the tiles' state has not been tried.
func tilesAllowed() bool { return false }
