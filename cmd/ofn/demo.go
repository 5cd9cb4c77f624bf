package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/cli"
	"github.com/openfunction/ofn/internal/run"
)

// demoManifest is what `ofn init` writes, with a shorter look back, so that the wait for zero is seconds rather than a minute.
const demoManifest = `apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata:
  name: hello
spec:
  image: ofn.local/hello:latest
  build:
    builder: native
    env:
      FUNC_NAME: HelloWorld
    srcRepo: {}
  serving:
    annotations:
      autoscaling.knative.dev/window: 6s
    triggers:
      http: {}
`

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show everything once: source to image to URL, down to zero and back",
		Long: `Run a platform of its own on free ports, make a function from a template, build it, call it, wait until it has scaled to
zero, and call it again. Nothing is left running; build caches are kept below --data-dir's default for the next time.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func demo(ctx context.Context, out io.Writer) error {
	s := &settings{dataDir: filepath.Join(dataDir(), "demo"), apiAddress: "127.0.0.1", gatewayAddress: "127.0.0.1:0", domain: "localhost",
		clusterDomain: "cluster.local", builds: 1, startTimeout: 30 * time.Second, requestTimeout: 5 * time.Minute, drain: 5 * time.Second,
		allowUnlimited: true}
	if err := s.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dataDir, 0o711); err != nil {
		return fmt.Errorf("making the demo's data directory: %w", err)
	}
	file, err := os.Create(filepath.Join(s.dataDir, "ofn.log"))
	if err != nil {
		return fmt.Errorf("opening the demo's log: %w", err)
	}
	defer file.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin, ready, ended := time.Now(), make(chan *platform, 1), make(chan error, 1)
	say(out, "starting the platform: Kubernetes API, registry, builder, gateway, all in this process")
	go func() {
		ended <- up(ctx, s, slog.New(slog.NewTextHandler(file, nil)), func(p *platform) { ready <- p })
	}()
	select {
	case err := <-ended:
		return err
	case p := <-ready:
		say(out, "up after %s; its log is in %s", time.Since(begin).Round(time.Millisecond), file.Name())
		err := show(ctx, p, out)
		cancel()
		return errors.Join(err, <-ended)
	}
}

func say(out io.Writer, format string, args ...any) {
	fmt.Fprintf(out, "\n# "+format+"\n", args...)
}

// show walks through the life of one function.
func show(ctx context.Context, p *platform, out io.Writer) error {
	dir, err := os.MkdirTemp("", "ofn-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for the function: %w", err)
	}
	defer os.RemoveAll(dir)
	hello := filepath.Join(dir, "hello")
	say(out, "a function from a template, and its source")
	if err := command(ctx, p, out, "init", hello); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(hello, "function.yaml"), []byte(demoManifest), 0o644); err != nil {
		return fmt.Errorf("writing the function's manifest: %w", err)
	}
	if err := print(out, hello); err != nil {
		return err
	}
	say(out, "build it and serve it (the first build compiles Go's standard library)")
	if err := command(ctx, p, out, "deploy", hello); err != nil {
		return err
	}
	url := fmt.Sprintf("http://hello.default.%s:%d/", p.settings.domain, port(p.gatewayListener.Addr()))
	say(out, "call it at %s", url)
	if err := call(ctx, p, out); err != nil {
		return err
	}
	say(out, "nobody calls it: wait until it has scaled to zero")
	if err := awaitZero(ctx, p, out); err != nil {
		return err
	}
	say(out, "the next request starts it again")
	if err := call(ctx, p, out); err != nil {
		return err
	}
	say(out, "that was all. Now: `ofn up`, and in another terminal `ofn init hello && ofn deploy hello`")
	return nil
}

// command runs one command of the command line against the demo's platform.
func command(ctx context.Context, p *platform, out io.Writer, args ...string) error {
	fmt.Fprintln(out, "$ ofn", strings.Join(args, " "))
	c := cli.New(cli.Environment{Version: version, Home: os.Getenv("HOME"), Kubeconfig: p.api.KubeconfigPath(), DataDir: p.settings.dataDir,
		In: strings.NewReader(""), Out: out, Err: out})
	c.SetArgs(args)
	return c.ExecuteContext(ctx)
}

func print(out io.Writer, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("showing the function's source: %w", err)
		}
		fmt.Fprintf(out, "$ cat %s\n%s", f, text)
	}
	return nil
}

// call asks the gateway for the function and shows the answer and the time. It dials the gateway itself, because not every
// resolver knows names below localhost.
func call(ctx context.Context, p *platform, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.gatewayListener.Addr().String()+"/", nil)
	if err != nil {
		return err
	}
	req.Host = "hello.default." + p.settings.domain
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("calling the function: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("reading the function's answer: %w", err)
	}
	fmt.Fprintf(out, "%s after %s: %s", resp.Status, time.Since(begin).Round(10*time.Microsecond), body)
	if resp.StatusCode != http.StatusOK {
		return errors.New("the function did not answer as it should")
	}
	return nil
}

// awaitZero returns when no copy of the function runs.
func awaitZero(ctx context.Context, p *platform, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	begin := time.Now()
	changed := make(chan struct{}, 1)
	p.node.Watch(ctx, func(run.Key) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		copies := 0
		for _, k := range p.node.Keys() {
			if s, ok := p.node.Status(ctx, k); ok {
				copies += s.Ready + s.Starting
			}
		}
		if copies == 0 {
			fmt.Fprintf(out, "no copy runs any more, after %s\n", time.Since(begin).Round(100*time.Millisecond))
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the function to scale to zero: %w", ctx.Err())
		}
	}
}
