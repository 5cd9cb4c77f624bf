package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// Sidecars knows daprd, and what the daprd of a function is to know.
type Sidecars interface {
	// Check says why no copy of this machine can have a daprd beside it; nil when it can.
	Check() error
	// Program returns a directory with daprd in it, the layer of its root filesystem. It may have to be built first, which takes
	// minutes: say is told how far that is.
	Program(ctx context.Context, say func(message string)) (layer string, err error)
	// Resources are what a daprd of the function loads. It waits until the platform knows the function as an application.
	Resources(ctx context.Context, namespace, function string) (Resources, error)
}

// Resources are the objects that one daprd loads.
type Resources struct {
	Files map[string][]byte // JSON or YAML by name of a file, with secrets
	// Local are ports of the machine's own loopback that components name. They are reached at the same port of the copy's.
	Local []int
}

// Where things are in daprd's own root filesystem, which nobody else sees.
const (
	daprdProgram   = "/daprd"
	daprdDir       = "/dapr/"
	daprdResources = daprdDir + "resources"
	daprdUser      = 65532
)

const (
	// daprdMemory is the limit of a daprd of which nothing is said. An idle one takes a quarter of it.
	daprdMemory = 512 << 20
	// joinTime is how long a daprd may take to be ready beside a copy that is.
	joinTime = 60 * time.Second
	// longestFarewell bounds how long daprd may finish the events that are inside the function.
	longestFarewell = 5 * time.Second
)

// checkSidecar refuses what could not have a daprd beside it.
func (n *Node) checkSidecar(r run.Revision, driver instance.Driver) error {
	if r.Sidecar == nil {
		return nil
	}
	if n.opt.Sidecars == nil {
		return errors.New("the function wants a daprd of its own, which this runner does not start")
	}
	if _, ok := driver.(instance.Sharer); !ok {
		return fmt.Errorf("runtime class %q has no daprd beside its copies: leave it empty, or take openfunction.io/dapr-service-mode: sidecar away", r.RuntimeClass)
	}
	return n.opt.Sidecars.Check()
}

// joinPatience is how long the start of a copy may take beyond that of the function.
func (r *replica) joinPatience() time.Duration {
	if r.rev.Sidecar == nil {
		return 0
	}
	return joinTime
}

// execute starts the copy, and the daprd beside it where it is known how to talk to the function.
func (r *replica) execute(ctx context.Context) (instance.Instance, error) {
	if r.rev.Sidecar == nil {
		return r.rev.driver.Start(ctx, r.spec)
	}
	res, err := r.sidecars.Resources(ctx, r.rev.Namespace, r.rev.Function)
	if err != nil {
		return nil, fmt.Errorf("gathering what its daprd is to know: %w", err)
	}
	p := newPair(r, res)
	if err := p.start(ctx, r.spec); err != nil {
		return nil, err
	}
	if protocol := r.rev.Sidecar.Protocol; protocol != "" {
		if err := p.launch(ctx, protocol); err != nil {
			p.Stop(0)
			<-p.Done()
			return nil, err
		}
	}
	return p, nil
}

// join returns when the daprd of a copy whose function is ready is ready as well.
func (r *replica) join(ctx context.Context, inst instance.Instance) error {
	p, ok := inst.(*pair)
	if !ok {
		return nil
	}
	if !p.launched() {
		protocol := "http"
		if speaks2(ctx, inst.Dial) == nil {
			protocol = "grpc"
		}
		if err := p.launch(ctx, protocol); err != nil {
			return err
		}
	}
	healthy := prober{ask: questionOf(&run.Probe{HTTPPath: "/v1.0/healthz", Port: run.DaprHTTPPort}, r.rev.Revision), timeout: probeTimeout, good: 1, pause: lastPause}
	return healthy.await(ctx, p)
}

// unjoined explains a copy whose daprd did not become ready; nil when the start was called off.
func (r *replica) unjoined(ctx context.Context, _ instance.Instance, err error) *failure {
	if ctx.Err() != nil {
		return nil
	}
	return &failure{reason: "SidecarNotReady", message: fmt.Sprintf("the daprd beside the copy was not ready within %v: %v", joinTime, err) + r.lastWords(), final: true}
}

// daprdSpec is the daprd of a copy.
func daprdSpec(r *replica, res Resources, protocol string) instance.Spec {
	want := r.rev.Sidecar
	farewell := min(r.rev.Grace/2, longestFarewell)
	args := []string{daprdProgram, "--app-id", want.AppID, "--app-port", strconv.Itoa(r.spec.Listen.Port), "--app-protocol", protocol,
		"--dapr-http-port", strconv.Itoa(run.DaprHTTPPort), "--dapr-grpc-port", strconv.Itoa(run.DaprGRPCPort), "--dapr-listen-addresses", "127.0.0.1",
		"--resources-path", daprdResources, "--disable-builtin-k8s-secret-store", "--enable-metrics=false",
		"--dapr-graceful-shutdown-seconds", strconv.Itoa(max(1, int(farewell.Seconds())))}
	if want.Files[run.SidecarConfig] != nil {
		args = append(args, "--config", daprdDir+run.SidecarConfig)
	}
	s := instance.Spec{
		ID: r.spec.ID + "-d", Layers: []string{r.daprd}, Namespace: r.rev.Namespace,
		Process: instance.Process{
			Args: append(args, want.Flags...), Dir: "/", UID: daprdUser, GID: daprdUser, ReadOnlyRoot: true,
			Env: []string{"PATH=/", "HOME=/tmp", "NAMESPACE=" + r.rev.Namespace, "POD_NAME=" + r.spec.ID, "DAPR_HOST_IP=127.0.0.1"},
		},
		Limits: instance.Limits{MemoryBytes: want.Memory, CPUMillis: want.CPU},
	}
	if s.Limits.MemoryBytes == 0 {
		s.Limits.MemoryBytes = daprdMemory
	}
	add := func(name string, data []byte) {
		at := daprdResources + "/" + name
		if name == run.SidecarConfig {
			at = daprdDir + name
		}
		s.Files = append(s.Files, instance.File{Path: at, Data: data, Mode: 0o400})
	}
	for _, files := range []map[string][]byte{res.Files, want.Files} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			add(name, files[name])
		}
	}
	if len(s.Files) == 0 || len(s.Files) == 1 && want.Files[run.SidecarConfig] != nil { // the directory must be there
		add("none.yaml", nil)
	}
	return s
}
