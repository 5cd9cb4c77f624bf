package build

import (
	"context"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Accept takes the build that the status tells of, which another program made, as that of the source as it is specified now: nothing
// is built until that changes. A build that did not succeed is not taken.
func (p *Phase) Accept(ctx context.Context, fn *v1beta2.Function) error {
	s := fn.Status.Build
	if fn.Spec.Build == nil || s == nil || s.State != v1beta2.StateSucceeded {
		return nil
	}
	spec := builderSpec(fn)
	if err := p.trace(ctx, fn, &spec); err != nil {
		return err
	}
	hash, err := wantedHash(fn, spec)
	if err != nil {
		return err
	}
	s.ResourceHash = hash
	report(fn, v1beta2.StateSucceeded, "", "")
	return nil
}
