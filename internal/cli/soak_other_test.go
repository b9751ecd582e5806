//go:build !linux

package cli

func limitMemory() {}

func tellPeak() {}
