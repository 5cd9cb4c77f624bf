package dapr

import (
	"slices"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// plan says which revisions have copies.
type plan struct {
	live *cluster.Revision // which gets the events and requests
	next *cluster.Revision // the newest, while it proves that it starts; nil when that is known, or is not to be found out
	// waiting is the newest when it has never run and the user gave everything to others by their names.
	waiting *cluster.Revision
	all     []cluster.Revision
}

// planOf takes for live the revision that has the greatest share, and of equals the newest: events cannot be divided, because all
// revisions are one application of Dapr and one group of consumers.
func planOf(s *cluster.Service) plan {
	p := plan{live: s.Newest(), all: s.Revisions}
	most := int64(-1)
	for i := range s.Revisions {
		r := &s.Revisions[i]
		at := slices.IndexFunc(s.Traffic, func(t cluster.Share) bool { return t.Revision == r.Name })
		if at >= 0 && s.Traffic[at].Percent >= most {
			p.live, most = r, s.Traffic[at].Percent
		}
	}
	switch newest := s.Newest(); {
	case newest.Name == p.live.Name || newest.Proven:
	case s.Pinned && newest.Made: // it was tried, and stands as it did
	case s.Pinned:
		p.waiting = newest
	default:
		p.next = newest
	}
	return p
}

func (p *plan) running() []*cluster.Revision {
	if p.next == nil {
		return []*cluster.Revision{p.live}
	}
	return []*cluster.Revision{p.live, p.next}
}

// rest says how the revisions stand that have no copies: those that have been ready can be again; others stand as they did.
func (p *plan) rest(out *cluster.Status) {
	for i := range p.all {
		r := &p.all[i]
		if _, known := out.Revisions[r.Name]; known {
			continue
		}
		switch {
		case r.Proven:
			out.Revisions[r.Name] = run.Status{Phase: run.Ready}
		case p.waiting != nil && r.Name == p.waiting.Name:
			out.Revisions[r.Name] = run.Status{Phase: run.Starting, Reason: "NotStarted",
				Message: "spec.serving.traffic gives everything to revisions by their names, and events cannot be divided: it starts when it is named there"}
		}
	}
}

// keeps says whether a revision that is not to run goes on for now: the live one may be on its way still.
func (p *plan) keeps(name string, liveReady bool) bool {
	i := slices.IndexFunc(p.all, func(r cluster.Revision) bool { return r.Name == name })
	return i >= 0 && p.all[i].Proven && !liveReady
}

// ready says whether events reach a revision, or would as soon as its scaler lets it have copies.
func ready(s run.Status) bool { return s.Phase == run.Ready && (s.Ready > 0 || s.Desired == 0) }
