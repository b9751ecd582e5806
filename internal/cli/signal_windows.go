package cli

import "os"

// earlyWarning is the signal by which schedulers say that a job is going to be stopped; there is none here.
var earlyWarning os.Signal
