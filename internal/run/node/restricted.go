package node

import (
	"fmt"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// allowed refuses probes that copies of a driver can never answer.
func allowed(r run.Revision, driver instance.Driver) error {
	d, ok := driver.(instance.Restricted)
	if !ok {
		return nil
	}
	no := d.Restrictions()
	for _, q := range []struct {
		kind  string
		probe *run.Probe
	}{{"readinessProbe", r.Container.Probe}, {"livenessProbe", r.Container.Liveness}, {"startupProbe", r.Container.Startup}} {
		switch p := q.probe; {
		case p == nil:
		case len(p.Exec) > 0 && no.NoExec:
			return fmt.Errorf("%s.exec: no command can be run in a copy of runtime class %q; ask with httpGet, or leave the probe out", q.kind, r.RuntimeClass)
		case p.Port != 0 && r.Port != 0 && p.Port != r.Port && no.OnePort:
			return fmt.Errorf("%s asks at port %d: a copy of runtime class %q can be asked only where it serves, which is port %d; name that port, or leave the probe out",
				q.kind, p.Port, r.RuntimeClass, r.Port)
		}
	}
	return nil
}
