//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// tree makes files, as the kernel would show them.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, data := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func wantFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	for name, v := range want {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(b) != v {
			t.Errorf("%s = %q, %v; want %q", name, b, err, v)
		}
	}
}

func TestUnified(t *testing.T) {
	root := tree(t, map[string]string{
		"cgroup.controllers": "cpuset cpu io memory pids\n", "cgroup.subtree_control": "",
		"p/cgroup.controllers": "cpu memory\n", "p/cgroup.subtree_control": "",
		"p/g/memory.max": "max", "p/g/memory.swap.max": "max", "p/g/memory.oom.group": "0", "p/g/cpu.max": "max 100000",
		"p/g/memory.current": "4096\n", "p/g/pids.current": "3\n", "p/g/cpu.stat": "usage_usec 1500\nuser_usec 1\n",
		"p/g/memory.events": "low 0\noom 1\noom_kill 2\n", "p/g/pids.events": "max 5\n",
	})
	c := findControllers(root, "0::/\n", "p")
	if c.lacks(kindMemory) != "" || c.lacks(kindCPU) != "" {
		t.Errorf("lacks memory: %q, cpu: %q", c.lacks(kindMemory), c.lacks(kindCPU))
	}
	if why := c.lacks(kindPIDs); !strings.Contains(why, "pids") {
		t.Errorf("the missing pids controller is explained by %q", why)
	}
	g := &unifiedGroup{dir: filepath.Join(root, "p/g"), dirfd: -1}
	if err := g.limit(instance.Limits{MemoryBytes: 1 << 25, CPUMillis: 250}, 0); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, g.dir, map[string]string{"memory.max": "33554432", "memory.swap.max": "0", "memory.oom.group": "1", "cpu.max": "25000 100000"})
	if got := g.strain(); got != (instance.Strain{MemoryKills: 2, ForksRefused: 5}) {
		t.Errorf("strain = %+v", got)
	}
	u, err := g.usage()
	if err != nil || u.MemoryBytes != 4096 || u.PIDs != 3 || u.CPU != 1500*time.Microsecond {
		t.Errorf("usage = %+v, %v", u, err)
	}
}

func TestUnifiedGroups(t *testing.T) {
	root := tree(t, map[string]string{"cgroup.controllers": "memory", "cgroup.subtree_control": ""})
	c := findControllers(root, "0::/\n", "p")
	for _, name := range []string{"old-1", "old-2", "new-1"} {
		g, err := c.make(name)
		if err != nil {
			t.Fatal(err)
		}
		if g.fd() < 0 {
			t.Error("a group has no descriptor to be born into")
		}
		g.close()
	}
	if err := c.clean(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	if es, _ := filepath.Glob(filepath.Join(root, "p", "*-*")); len(es) != 1 || filepath.Base(es[0]) != "new-1" {
		t.Errorf("clean left %v", es)
	}
	g, err := c.make("another")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestUnifiedKernel lets a copy be born in a group of the kernel's own tree. Where version 2 has no controllers, as on a
// machine that also has version 1, that still shows birth, count and removal.
func TestUnifiedKernel(t *testing.T) {
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		root = "/sys/fs/cgroup/unified"
	}
	c := findControllers(root, "0::/\n", groupParent(t.TempDir()))
	u, ok := c.(*unified)
	if !ok || u.dir == "" {
		t.Skipf("control groups of version 2 cannot be made here: %s", c.lacks(kindMemory))
	}
	g, err := c.make("g")
	if err != nil {
		t.Fatal(err)
	}
	p := newTestProgram(t, 4096)
	p.call(unix.SYS_PPOLL, 0, 0, 0, 0, 0)
	if err := p.seal(); err != nil {
		t.Fatal(err)
	}
	pid, pidfd, err := p.clone(0, g.fd())
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if got := fieldsOf(g.(*unifiedGroup).dir, "cgroup.procs"); len(got) != 1 || got[0] != strconv.Itoa(pid) {
		t.Errorf("processes of the group: %v, want %d", got, pid)
	}
	if u, err := g.usage(); err != nil || u.PIDs != 1 {
		t.Errorf("usage = %+v, %v", u, err)
	}
	if err := killAll(g.(*unifiedGroup).dir); err != nil {
		t.Error(err)
	}
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		t.Error(err)
	}
	g.close()
	if err := c.clean(t.Context(), ""); err != nil {
		t.Errorf("clean: %v", err)
	}
	if _, err := os.Stat(u.dir); !os.IsNotExist(err) {
		t.Errorf("%s remains: %v", u.dir, err)
	}
}

func TestLegacy(t *testing.T) {
	root := tree(t, map[string]string{
		"memory/cgroup.procs": "", "memory/own/cgroup.procs": "", "cpu/cgroup.procs": "",
		"memory/own/p/g/memory.limit_in_bytes": "", "memory/own/p/g/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		"memory/own/p/g/memory.usage_in_bytes": "8192\n", "memory/own/p/g/cgroup.procs": "", "cpu/p/g/cgroup.procs": "",
		"cpu/p/g/cpu.cfs_period_us": "", "cpu/p/g/cpu.cfs_quota_us": "",
	})
	c := findControllers(root, "3:memory:/own\n2:cpu,cpuacct:/nowhere\n", "p")
	if c.lacks(kindMemory) != "" || c.lacks(kindCPU) != "" || !strings.Contains(c.lacks(kindPIDs), "not mounted") {
		t.Errorf("lacks %q, %q, %q", c.lacks(kindMemory), c.lacks(kindCPU), c.lacks(kindPIDs))
	}
	g, err := c.make("g")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.limit(instance.Limits{MemoryBytes: 1 << 25, CPUMillis: 5, PIDs: 7}, 1); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, root, map[string]string{
		"memory/own/p/g/memory.limit_in_bytes": "33554432", "cpu/p/g/cpu.cfs_period_us": "1000000", "cpu/p/g/cpu.cfs_quota_us": "5000",
	})
	if u, err := g.usage(); err != nil || u.MemoryBytes != 8192 || g.strain() != (instance.Strain{MemoryKills: 1}) {
		t.Errorf("usage = %+v, %v, strain %+v", u, err, g.strain())
	}
}

func TestCheckLimits(t *testing.T) {
	none := noControllers{why: "nothing here"}
	for _, c := range []struct {
		name      string
		limits    instance.Limits
		unlimited bool
		ok        bool
		refused   bool
	}{
		{"none set", instance.Limits{}, false, true, false},
		{"memory", instance.Limits{MemoryBytes: 1 << 26}, false, false, true},
		{"cpu", instance.Limits{CPUMillis: 100}, false, false, true},
		{"pids", instance.Limits{PIDs: 10}, false, false, true},
		{"allowed", instance.Limits{MemoryBytes: 1 << 26, PIDs: 10}, true, true, false},
		{"tiny", instance.Limits{MemoryBytes: 4096}, true, false, false},
		{"negative", instance.Limits{PIDs: -1}, true, false, false},
	} {
		err := checkLimits(none, c.limits, c.unlimited)
		if (err == nil) != c.ok || errors.Is(err, instance.ErrUnenforceable) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOwnGroup(t *testing.T) {
	self := "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/user.slice/x:y\n"
	for controller, want := range map[string]string{"memory": "/a/b", "cpuacct": "/c", "": "/user.slice/x:y", "pids": "/"} {
		if got := ownGroup(self, controller); got != want {
			t.Errorf("%q: %q, want %q", controller, got, want)
		}
	}
}

func TestRemoveGroupGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := removeGroup(ctx, filepath.Join(t.TempDir(), "gone")); err != nil {
		t.Errorf("one that has gone: %v", err)
	}
}
