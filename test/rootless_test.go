package test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobody is a user without rights, for whom the machine has no name and nothing else runs.
const nobody = 64917

// rootless makes a script's ofn run as a user without rights from its next start on.
func rootless(ts *testscript.TestScript, neg bool, _ []string) {
	s := serverOf(ts)
	if neg || s.running() {
		ts.Fatalf("usage: rootless, before up")
	}
	s.user = &syscall.Credential{Uid: nobody, Gid: nobody}
	ts.Check(filepath.WalkDir(s.data, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	}))
}

// asUser gives a command the user of the server, who has no home but the data directory.
func (s *server) asUser(cmd *exec.Cmd) {
	if s.user == nil {
		return
	}
	cmd.SysProcAttr.Credential = s.user
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOME="+s.data, "XDG_CACHE_HOME=", "GOCACHE=", "GOMODCACHE=", "GOPATH=")
}

// owns tells a process of the server's user, when that is one of its own.
func (s *server) owns(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || s.user == nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == s.user.Uid
}

// canBeRootless tells whether this process may become a user without rights who can make namespaces and use Go.
func canBeRootless() bool {
	if os.Geteuid() != 0 {
		return false
	}
	for file, refused := range map[string]string{
		"/proc/sys/user/max_user_namespaces":                     "0",
		"/proc/sys/kernel/unprivileged_userns_clone":             "0",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
	} {
		if content, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(content)) == refused {
			return false
		}
	}
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}, "/"
	return cmd.Run() == nil
}
