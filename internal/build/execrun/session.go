package execrun

import (
	"context"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// session is all processes that a command started and that did not leave its session on purpose.
type session struct {
	id       int
	limits   build.RunLimits
	exceeded build.Resource // written by watch, read when it has ended
}

// watch ends the session when ctx ends or it breaks a limit; it returns then, or when done is closed.
func (s *session) watch(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			s.kill()
			return
		case <-tick.C:
		}
		if s.limits.PIDs == 0 && s.limits.MemoryBytes == 0 {
			continue
		}
		all := s.members()
		switch {
		case s.limits.PIDs > 0 && int64(len(all.running)+len(all.stopped)) > s.limits.PIDs:
			s.exceeded = build.Processes
		case s.limits.MemoryBytes > 0 && all.memory > s.limits.MemoryBytes:
			s.exceeded = build.Memory
		default:
			continue
		}
		s.kill()
		return
	}
}

// members are the living processes of a session.
type members struct {
	running, stopped []int
	memory           int64 // resident, bytes
}
