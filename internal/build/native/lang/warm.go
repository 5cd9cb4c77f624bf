package lang

import "context"

// Warmer is a Language that can fill its caches before the first build.
type Warmer interface {
	// Warm does so once for each version of its tools, in the empty directory work and with half of the machine at most. It may be ended
	// at any time.
	Warm(ctx context.Context, work string) error
}
