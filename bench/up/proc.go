package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// memory is what a process holds in RAM, in MB.
type memory struct{ total, private float64 }

func residentMB(pid int) (memory, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(content)) {
		var kB float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kB); n == 1 {
			m.total = kB / 1000
		}
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kB); n == 1 {
			m.private = kB / 1000
		}
	}
	return m, nil
}

// cpuTime is the processor time of the threads that a process has now, to the nanosecond: idle work is made of many short wakes,
// which the tick-based figures of /proc/pid/stat misjudge.
func cpuTime(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, task := range tasks {
		content, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that ended meanwhile
		}
		var ran int64
		if _, err := fmt.Sscan(string(content), &ran); err != nil {
			return 0, fmt.Errorf("reading %s: %w", task, err)
		}
		total += time.Duration(ran)
	}
	return total, nil
}
