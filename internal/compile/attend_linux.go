package compile

import (
	"os/exec"
	"syscall"
)

// Attend lets a process and what it starts be ended together, and ends it with this one.
func Attend(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
