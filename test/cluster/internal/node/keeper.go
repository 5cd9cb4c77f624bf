package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// restartPause keeps a component that cannot start from taking the whole machine.
const restartPause = time.Second

// The files that Up hands to the holder and the holder to the keeper.
const (
	reportFile = 3
	lockFile   = 4
)

// Hold is the life of the first process of the cluster's PID namespace: it starts the keeper, reaps what is orphaned,
// and ends with the keeper.
func Hold(d Dir) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	keeper, err := syscall.ForkExec(self, []string{self, KeeperCommand, string(d)},
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2, reportFile, lockFile}})
	if err != nil {
		return fmt.Errorf("starting the keeper: %w", err)
	}
	if err := syscall.Close(reportFile); err != nil { // so that a keeper that dies is seen by its end of the pipe
		return err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case pid == keeper:
			return fmt.Errorf("the keeper ended: status %d", status.ExitStatus())
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("waiting for processes: %w", err)
		}
	}
}

// Edge runs beside the components for as long as the cluster lives: what a cluster has at its edge, names and ingress.
type Edge func(ctx context.Context, config *rest.Config, log *slog.Logger) error

// keeper keeps the components running.
type keeper struct {
	dir    Dir
	self   string
	log    *slog.Logger
	failed chan error // the first component to end while the cluster starts
	work   sync.WaitGroup
}

// Keep prepares the node, starts its components, reports to Up when the node is ready, and restarts what ends. It
// returns when edge fails or ctx ends.
func Keep(ctx context.Context, d Dir, edge Edge, log *slog.Logger) error {
	syscall.CloseOnExec(reportFile)
	syscall.CloseOnExec(lockFile)
	report := os.NewFile(reportFile, "report")
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{dir: d, self: self, log: log, failed: make(chan error, 1)}
	defer k.work.Wait()
	defer cancel()
	config, err := k.start(ctx)
	if err != nil {
		fmt.Fprintln(report, err)
		return err
	}
	edgeEnded := make(chan error, 1)
	k.work.Go(func() { edgeEnded <- edge(ctx, config, log) })
	if _, err := io.WriteString(report, "ready\n"); err != nil {
		return fmt.Errorf("reporting that the node is ready: %w", err)
	}
	if err := report.Close(); err != nil {
		return err
	}
	select {
	case err := <-edgeEnded:
		return fmt.Errorf("the edge ended: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start brings the node up, step by step, and returns how to reach its API server.
func (k *keeper) start(ctx context.Context) (*rest.Config, error) {
	begin := time.Now()
	lap := func(what string) { k.log.Info(what, "after", time.Since(begin).Round(time.Millisecond)) }
	if err := isolate(k.dir); err != nil {
		return nil, err
	}
	if err := writeFiles(k.dir); err != nil {
		return nil, err
	}
	lap("files and network are there")
	for _, c := range first(k.dir) {
		k.keep(ctx, c)
	}
	config, err := clientcmd.BuildConfigFromFlags("", k.dir.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = -1, -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if err := k.until(ctx, k.importPause); err != nil {
		return nil, fmt.Errorf("waiting for containerd: %w", err)
	}
	lap("containerd runs")
	if err := k.until(ctx, func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return nil, fmt.Errorf("waiting for the API server: %w", err)
	}
	lap("the API server is ready")
	for _, c := range clients(k.dir) {
		k.keep(ctx, c)
	}
	if err := k.until(ctx, func(ctx context.Context) error { return nodeReady(ctx, client) }); err != nil {
		return nil, fmt.Errorf("waiting for the node: %w", err)
	}
	lap("the node is ready")
	return config, nil
}

func (k *keeper) importPause(ctx context.Context) error {
	archive, err := os.Open(k.dir.state("pause.tar"))
	if err != nil {
		return err
	}
	defer archive.Close()
	args := importer(k.dir)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = archive
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// nodeReady is nil once pods can run: the node says so, and pods have an account to run as.
func nodeReady(ctx context.Context, client kubernetes.Interface) error {
	node, err := client.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
			return err
		}
	}
	return errors.New("it has not said yet that it is ready")
}

// until repeats try until it succeeds, a component ends, or ctx does.
func (k *keeper) until(ctx context.Context, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, bringUpTime, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-k.failed:
			return false, err
		default:
		}
		last = try(ctx)
		return last == nil, nil
	})
	if wait.Interrupted(err) {
		return errors.Join(err, last)
	}
	return err
}

// keep runs c, again and again, until ctx ends.
func (k *keeper) keep(ctx context.Context, c component) {
	k.work.Go(func() {
		for ctx.Err() == nil {
			err := fmt.Errorf("%s ended: %w; see %s", c.name, k.run(ctx, c), k.dir.Log(c.name))
			select {
			case k.failed <- err: // heard only while the cluster starts
			default:
			}
			k.log.Error("a component ended and is started again", "error", err)
			select {
			case <-time.After(restartPause):
			case <-ctx.Done():
			}
		}
	})
}

// run runs c once; it never returns nil.
func (k *keeper) run(ctx context.Context, c component) error {
	log, err := os.OpenFile(k.dir.Log(c.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	program := c.args[0]
	if program == "" {
		program = k.self
	}
	cmd := exec.CommandContext(ctx, program, c.args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return err
	}
	return errors.New("with success")
}
