package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The words with which the cluster program is told, as its first argument, to be one of the two inner processes.
const (
	HolderCommand = "hold-namespaces"
	KeeperCommand = "keep-components"
)

const (
	bringUpTime  = 3 * time.Minute
	tearDownTime = 30 * time.Second
)

// Up starts a cluster in d and returns when its node is ready. The cluster outlives the caller. pause is the image
// archive of the pods' first process.
func Up(ctx context.Context, d Dir, pause []byte) error {
	if err := os.MkdirAll(filepath.Join(string(d), "log"), 0o755); err != nil {
		return err
	}
	lock, err := acquire(d)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := clear(d); err != nil {
		return fmt.Errorf("clearing what an earlier cluster left in %s: %w", d, err)
	}
	if err := os.MkdirAll(d.state(), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(d.state("pause.tar"), pause, 0o600); err != nil {
		return err
	}
	if err := makeCgroups(d.cgroup()); err != nil {
		return err
	}
	report, err := startHolder(d, lock)
	lock.Close() // the holder's copy alone is to keep it, so that its end is seen
	if err != nil {
		return errors.Join(err, end(d))
	}
	defer report.Close()
	ctx, cancel := context.WithTimeout(ctx, bringUpTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { report.SetReadDeadline(time.Now()) })()
	line, err := bufio.NewReader(report).ReadString('\n')
	if err == nil && line == "ready\n" {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		line = fmt.Sprintf("the node was not ready when the time was up (%s) or the start was interrupted: %v", bringUpTime, err)
	}
	return errors.Join(fmt.Errorf("%s (logs: %s)", strings.TrimSpace("starting the cluster: "+line), filepath.Dir(d.Log("x"))), end(d))
}

// startHolder starts the first process of the cluster and returns the end of the pipe on which the keeper reports.
func startHolder(d Dir, lock *os.File) (*os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.Create(d.Log("holder"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	report, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	cmd := exec.Command(self, HolderCommand, string(d))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{write, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
	}
	if err := cmd.Start(); err != nil {
		report.Close()
		return nil, fmt.Errorf("starting a process in namespaces of its own (root is needed): %w", err)
	}
	if err := os.WriteFile(d.pid(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		report.Close()
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	return report, cmd.Process.Release()
}

// acquire takes the lock that the holder of a cluster in d keeps for as long as it lives.
func acquire(d Dir) (*os.File, error) {
	lock, err := os.OpenFile(d.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("a cluster runs in %s already: %w", d, errRunning)
	}
	return nil, fmt.Errorf("locking %s: %w", d.lock(), err)
}

var errRunning = errors.New("running")

// Down ends the cluster in d, if one runs, and removes everything it left, logs included.
func Down(d Dir) error {
	if _, err := os.Stat(string(d)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := end(d); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(string(d), "log"), d.lock()} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	_ = os.Remove(string(d)) // stays if something of the user's is in it
	return nil
}

// end kills the holder, waits until the kernel has ended everything below it, and removes state and cgroups.
func end(d Dir) error {
	if pid, err := holder(d); err == nil {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending the cluster: %w", err)
		}
	}
	return poll(tearDownTime, func() error {
		lock, err := acquire(d)
		if err != nil {
			return err
		}
		defer lock.Close()
		return clear(d)
	})
}

// clear removes what a cluster that has ended left behind.
func clear(d Dir) error {
	if err := removeCgroups(d.cgroup()); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(d.state()), os.RemoveAll(d.pid()))
}

// poll calls try until it succeeds or the time is up, and returns its last error.
func poll(limit time.Duration, try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// holder reports the process whose namespaces are the cluster's.
func holder(d Dir) (int, error) {
	lock, err := acquire(d)
	if err == nil {
		lock.Close()
		return 0, fmt.Errorf("no cluster runs in %s: start one with \"cluster up --dir %s\"", d, d)
	}
	if !errors.Is(err, errRunning) {
		return 0, fmt.Errorf("no cluster runs in %s: %w", d, err)
	}
	b, err := os.ReadFile(d.pid())
	if err != nil {
		return 0, fmt.Errorf("finding the cluster in %s: %w", d, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// Inside is a command that runs args, from the current folder, with the cluster's files, network and processes, and
// with KUBECONFIG set.
func Inside(ctx context.Context, d Dir, args ...string) (*exec.Cmd, error) {
	pid, err := holder(d)
	if err != nil {
		return nil, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	enter := []string{"--target", strconv.Itoa(pid), "--mount", "--net", "--pid", "--", "sh", "-c", `cd "$0" && exec "$@"`, wd}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.Kubeconfig())
	return cmd, nil
}

// Load imports an image archive (of docker save, or an OCI layout) into the node.
func Load(ctx context.Context, d Dir, archive io.Reader) error {
	cmd, err := Inside(ctx, d, importer(d)...)
	if err != nil {
		return err
	}
	cmd.Stdin = archive
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("importing an image: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func importer(d Dir) []string {
	return []string{"ctr", "--address", d.socket(), "--namespace", imagesSpace, "images", "import", "-"}
}
