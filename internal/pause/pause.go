// Package pause waits, for as long as its caller's context lets it.
package pause

import (
	"context"
	"time"
)

// For waits for d and returns nil, or returns the context's error as soon as it ends.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
