package execrun

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"syscall"
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
		pids, memory := s.members()
		switch {
		case s.limits.PIDs > 0 && int64(len(pids)) > s.limits.PIDs:
			s.exceeded = build.Processes
		case s.limits.MemoryBytes > 0 && memory > s.limits.MemoryBytes:
			s.exceeded = build.Memory
		default:
			continue
		}
		s.kill()
		return
	}
}

// kill ends every member. Members are stopped first, so that none can fork on while the others are being killed.
func (s *session) kill() {
	const rounds = 100 // each finds what was forked since the one before
	for range rounds {
		pids, _ := s.members()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // gone already is as good
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// members lists the living processes of the session and sums their resident memory, in bytes.
func (s *session) members() (pids []int, memory int64) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // processes come and go: what could be read is what there was
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		if sid, pages, ok := parseStat(stat); ok && sid == s.id {
			pids = append(pids, pid)
			memory += pages * int64(os.Getpagesize())
		}
	}
	return pids, memory
}

// parseStat reads session and resident pages from /proc/PID/stat, see proc(5). It is not ok for a process that is dead already.
func parseStat(stat []byte) (sid int, pages int64, ok bool) {
	const state, session, rss = 0, 3, 21 // counted after the name, which may hold anything but ends with the last ')'
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(stat[i+1:])
	if len(fields) <= rss || fields[state][0] == 'Z' || fields[state][0] == 'X' {
		return 0, 0, false
	}
	sid, err := strconv.Atoi(string(fields[session]))
	if err != nil {
		return 0, 0, false
	}
	pages, err = strconv.ParseInt(string(fields[rss]), 10, 64)
	return sid, pages, err == nil
}
