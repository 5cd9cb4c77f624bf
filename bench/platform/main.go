//go:build linux

// Command platform measures the whole platform as its users meet it: the real binary, started with `ofn up`, a Go function
// deployed from source, and requests through the gateway. Run it as root on an otherwise quiet machine; runc makes the
// comparison of cold starts:
//
//	go run ./bench/platform
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	starts := flag.Int("starts", 30, "cold starts")
	requests := flag.Int("requests", 50000, "requests during updates")
	flag.Parse()
	if err := run(context.Background(), *starts, *requests); err != nil {
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, starts, requests int) (err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	for _, step := range []func(context.Context) error{
		b.deployFirst,
		b.restarts,
		b.rebuilds,
		func(ctx context.Context) error { return b.coldStarts(ctx, starts) },
		func(ctx context.Context) error { return b.updates(ctx, requests) },
		b.idle,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// row prints one figure against its limit; the ratio is below 1 when the limit is kept.
func row(what string, got, limit float64, unit string) {
	fmt.Printf("%-62s %9.2f %-5s limit %7.2f  ratio %.2f\n", what, got, unit, limit, got/limit)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// source writes the function that everything is measured with. Different greetings make different images.
func source(dir, greeting string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("package hello\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n)\n\n// HelloWorld greets.\nfunc HelloWorld(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, %q) }\n", greeting)
	manifest := `apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello}
spec:
  image: ofn.local/bench/hello:latest
  build: {builder: native, env: {FUNC_NAME: HelloWorld}, srcRepo: {}}
  serving:
    annotations: {autoscaling.knative.dev/window: 6s}
    triggers: {http: {}}
`
	return errors.Join(os.WriteFile(filepath.Join(dir, "hello.go"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/hello\n\ngo 1.26\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "function.yaml"), []byte(manifest), 0o644))
}
