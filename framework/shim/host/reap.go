package host

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Reap collects the dead that the program left to process 1: children of children whose parents have ended. It looks once a second at
// most, and only when somebody died. Processes that lead a process group are left alone: those are the shim's own children, which others
// wait for.
func Reap(ctx context.Context) {
	if os.Getpid() != 1 {
		return
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-died:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		collect()
	}
}

// collect waits for dead children that are nobody's.
func collect() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && orphaned(pid) {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil) // gone already is as good
		}
	}
}

// orphaned tells whether a process is a dead child of this one that leads no process group.
func orphaned(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	text := string(data)
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // state, parent, group
	return len(f) > 2 && f[0] == "Z" && f[1] == strconv.Itoa(os.Getpid()) && f[2] != strconv.Itoa(pid)
}
