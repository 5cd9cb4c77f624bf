package test

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// leftovers wants that nothing of an ofn that has ended is left on the machine.
func leftovers(ts *testscript.TestScript, neg bool, _ []string) {
	s := serverOf(ts)
	if neg { // while it runs and serves there is something: the check can see
		if len(s.leftovers()) == 0 {
			ts.Fatalf("ofn serves, but no process, mount or control group of it is seen")
		}
		return
	}
	var left []string
	if !until(time.Minute, func() bool { left = s.leftovers(); return len(left) == 0 }) {
		ts.Fatalf("ofn has left behind:\n%s", strings.Join(left, "\n"))
	}
}

// leftovers are the processes, mounts and control groups that belong to the data directory, ofn itself excepted.
func (s *server) leftovers() []string {
	var out []string
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, s.data) {
				out = append(out, "mount "+strings.TrimSpace(line))
			}
		}
	}
	out = append(out, s.groups()...)
	return append(out, s.processes()...)
}

// group is the name that the control groups of a data directory are below.
func (s *server) group() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(filepath.Join(s.data, "sandbox")))
	return fmt.Sprintf("ofn-%016x", h.Sum64())
}

func (s *server) groups() []string {
	var out []string
	name := s.group()
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, name+string(filepath.Separator)) {
			out = append(out, "control group "+path)
		}
		return nil // what goes away meanwhile is gone
	})
	return out
}

// processes are those that have a mount of the data directory or speak of it, or are in its control groups.
func (s *server) processes() []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid := filepath.Base(dir)
		if pid == fmt.Sprint(os.Getpid()) || s.running() && pid == fmt.Sprint(s.cmd.Process.Pid) {
			continue
		}
		read := func(name string) string { b, _ := os.ReadFile(filepath.Join(dir, name)); return string(b) }
		command := strings.ReplaceAll(strings.TrimRight(read("cmdline"), "\x00"), "\x00", " ")
		if strings.Contains(command, s.data) || strings.Contains(read("mountinfo"), s.data) || strings.Contains(read("cgroup"), s.group()) || s.owns(dir) {
			out = append(out, fmt.Sprintf("process %s: %s", pid, command))
		}
	}
	return out
}
