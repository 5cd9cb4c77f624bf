// Package scenarios_test runs the scenario scripts of one machine, those of ../../testdata/shared, on the test cluster: the test binary of
// ../.. does, and this package prepares what it needs, which is what a user would have. There is ofn, installed with a registry and a
// domain, a builder image, and a way to the gateway.
package scenarios_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	ofncluster "github.com/openfunction/ofn/test/cluster/ofn"
)

const (
	// images is where the node and the pods find the registry.
	images = "10.123.0.1:5000"
	// sources is where pods find the repositories of scripts.
	sources = "10.123.0.1:5080"
	// front is where functions are called, by names below localhost.
	front = "127.0.0.1:18080"
)

var scripts = flag.String("scripts", ".", "pattern of the names of the scripts that are to run")

func TestMain(m *testing.M) {
	os.Exit(ofncluster.Main(m, ofncluster.Setup{Install: []string{
		"--registry", images + "/functions", "--insecure-registry", images, "--builder-image", ofncluster.BuilderImage, "--domain", "localhost:18080",
	}}))
}

func TestScenarios(t *testing.T) {
	ofncluster.Need(t)
	caches, err := ofncluster.Caches(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := ofncluster.LoadBuilder(t.Context(), append(caches, languages(t)...)...); err != nil {
		t.Fatal(err)
	}
	serve(t)
	forward(t, ofncluster.Gateway(t))
	binary := filepath.Join(t.TempDir(), "scenarios")
	compile := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	compile.Dir = "../.."
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compiling the scenarios: %v: %s", err, out)
	}
	run := exec.CommandContext(t.Context(), binary, "-test.v", "-test.parallel=2", "-test.timeout=45m", "-test.run", "TestScenarios/shared/"+*scripts,
		"-ofn", ofncluster.Program(), "-cluster-gateway", front, "-cluster-registry", images, "-cluster-git", sources)
	run.Env = append(os.Environ(), "PATH="+without(t))
	run.Dir, run.Stdout, run.Stderr = "../..", os.Stdout, os.Stdout
	if err := run.Run(); err != nil {
		t.Error(err)
		t.Log(ofncluster.Dump(t.Context(), ofncluster.System))
	}
}

// without is a directory of all programs of PATH but those that are missing.
func without(t *testing.T) string {
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		programs, err := os.ReadDir(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range programs {
			if slices.Contains(missing(), p.Name()) {
				continue
			}
			err := os.Symlink(filepath.Join(from, p.Name()), filepath.Join(dir, p.Name()))
			if err != nil && !errors.Is(err, fs.ErrExist) { // the first one counts
				t.Fatal(err)
			}
		}
	}
	return dir
}

// serve is the registry.
func serve(t *testing.T) {
	l, err := net.Listen("tcp", images)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: time.Minute}
	var work sync.WaitGroup
	work.Go(func() { _ = s.Serve(l) }) // until Close
	t.Cleanup(func() {
		_ = s.Close()
		work.Wait()
	})
}

// forward leads connections to front on to the gateway, as they are: conversations of scripts are more than requests.
func forward(t *testing.T, gateway string) {
	l, err := net.Listen("tcp", front)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { relay(ctx, c.(*net.TCPConn), gateway) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		work.Wait()
	})
}

// relay hands on what comes until both sides have ended.
func relay(ctx context.Context, c *net.TCPConn, gateway string) {
	defer c.Close()
	dialed, err := new(net.Dialer).DialContext(ctx, "tcp", gateway)
	if err != nil {
		return // the caller sees a connection that ends
	}
	to := dialed.(*net.TCPConn)
	defer to.Close()
	stop := context.AfterFunc(ctx, func() { c.Close(); to.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pass(to, c) })
	both.Go(func() { pass(c, to) })
	both.Wait()
}

// pass copies one direction. Its end is told to the other side; a connection that breaks, breaks there, too.
func pass(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = to.SetLinger(0)
		_ = from.SetLinger(0)
		_ = to.Close()
		_ = from.Close()
		return
	}
	_ = to.CloseWrite()
}
