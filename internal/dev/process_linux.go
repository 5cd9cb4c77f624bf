package dev

import "syscall"

// ownGroup gives a function a process group of its own, so that Ctrl-C reaches it only through ofn, and ends it should ofn be killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
