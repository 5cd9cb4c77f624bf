package execrun

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// kill ends every member and returns when they are gone. It first stops them, again and again until all stand still, so that none forks
// while others are being killed.
func (s *session) kill() {
	const rounds = 1000 // each meets only what was forked during the one before
	for range rounds {
		all := s.members()
		if len(all.running) == 0 {
			break
		}
		signal(all.running, syscall.SIGSTOP)
	}
	s.reap()
}

// reap kills what there is until there is nothing: a process lives on for a moment after it was killed. One that hangs in the kernel is given up.
func (s *session) reap() {
	const patience, step = 5 * time.Second, time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(step) {
		all := s.members()
		if len(all.running)+len(all.stopped) == 0 {
			return
		}
		signal(append(all.running, all.stopped...), syscall.SIGKILL)
	}
}

func signal(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig) // gone already is as good
	}
}

func (s *session) members() members {
	var all members
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // processes come and go: what could be read is what there was
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		st, ok := parseStat(text)
		if !ok || st.session != s.id {
			continue
		}
		all.memory += st.pages * int64(os.Getpagesize())
		if st.state == 'T' {
			all.stopped = append(all.stopped, pid)
		} else {
			all.running = append(all.running, pid)
		}
	}
	return all
}

// stat is what of /proc/PID/stat counts here.
type stat struct {
	state   byte
	session int
	pages   int64 // resident
}

// parseStat reads /proc/PID/stat, see proc(5). It is not ok for a process that is dead already, with all its threads: one that was killed
// shows as a zombie as soon as its first thread is one, while others may still be writing.
func parseStat(text []byte) (stat, bool) {
	const state, session, threads, rss = 0, 3, 17, 21 // counted after the name, which may hold anything but ends with the last ')'
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return stat{}, false
	}
	fields := bytes.Fields(text[i+1:])
	if len(fields) <= rss || fields[state][0] == 'X' {
		return stat{}, false
	}
	if n, err := strconv.Atoi(string(fields[threads])); fields[state][0] == 'Z' && (err != nil || n <= 1) {
		return stat{}, false
	}
	s := stat{state: fields[state][0]}
	var err1, err2 error
	s.session, err1 = strconv.Atoi(string(fields[session]))
	s.pages, err2 = strconv.ParseInt(string(fields[rss]), 10, 64)
	return s, err1 == nil && err2 == nil
}
