//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const host = "hello.default.localhost"

func (b *bench) deployFirst(ctx context.Context) error {
	dir := filepath.Join(b.dir, "hello")
	if err := source(dir, "Hello, World!"); err != nil {
		return err
	}
	begin := time.Now()
	if _, err := b.ofn(ctx, "deploy", dir); err != nil {
		return err
	}
	fmt.Printf("%-62s %9.2f s     (empty build caches)\n", "first deploy, source to ready", time.Since(begin).Seconds())
	return nil
}

// restarts times `ofn up` on the data directory that the first deploy has filled.
func (b *bench) restarts(context.Context) error {
	var took []time.Duration
	for range 5 {
		if err := b.stop(); err != nil {
			return err
		}
		d, err := b.start()
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	row("ofn up to ready on an existing data directory, median of 5", median(took).Seconds(), 2, "s")
	return nil
}

// rebuilds times the builds that the platform makes, as their records tell, against go build in the same run.
func (b *bench) rebuilds(ctx context.Context) error {
	dir := filepath.Join(b.dir, "hello")
	var same, changed, plain []time.Duration
	for i := range 5 {
		d, err := b.plainBuild(i)
		if err != nil {
			return err
		}
		plain = append(plain, d)
		if err := source(dir, fmt.Sprintf("Hello, %d!", i)); err != nil {
			return err
		}
		if _, err := b.ofn(ctx, "deploy", dir); err != nil {
			return err
		}
		if d, err = b.lastBuild(ctx); err != nil {
			return err
		}
		changed = append(changed, d)
		if _, err := b.ofn(ctx, "rebuild", "hello", "--wait"); err != nil {
			return err
		}
		if d, err = b.lastBuild(ctx); err != nil {
			return err
		}
		same = append(same, d)
	}
	row("rebuild with no change, median of 5", median(same).Seconds(), 1, "s")
	fmt.Printf("%-62s %9.2f ms\n", "plain go build, one changed line, warm caches, median of 5", milliseconds(median(plain)))
	row("rebuild with one changed line, median of 5", milliseconds(median(changed)), 1.5*milliseconds(median(plain)), "ms")
	return nil
}

// plainBuild is what a user would do by hand: the same function with a main around it.
func (b *bench) plainBuild(i int) (time.Duration, error) {
	dir := filepath.Join(b.dir, "plain")
	if err := source(filepath.Join(dir, "fn"), fmt.Sprintf("Hello, %d!", i)); err != nil {
		return 0, err
	}
	err := errors.Join(os.Remove(filepath.Join(dir, "fn", "go.mod")),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/plain\n\ngo 1.26\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nimport (\n\t\"net/http\"\n\n\t\"example.com/plain/fn\"\n)\n\nfunc main() { panic(http.ListenAndServe(\":8080\", http.HandlerFunc(hello.HelloWorld))) }\n"), 0o644))
	if err != nil {
		return 0, err
	}
	build := func() ([]byte, error) {
		c := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "out"), ".")
		c.Dir, c.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
		return c.CombinedOutput()
	}
	if i == 0 { // warm the caches with another text
		if out, err := build(); err != nil {
			return 0, fmt.Errorf("go build: %w: %s", err, out)
		}
		if err := source(filepath.Join(dir, "fn"), "Hello, warm!"); err != nil {
			return 0, err
		}
		if err := os.Remove(filepath.Join(dir, "fn", "go.mod")); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	out, err := build()
	if err != nil {
		return 0, fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
	}
	return time.Since(begin), nil
}

func (b *bench) lastBuild(ctx context.Context) (time.Duration, error) {
	fn, err := b.object(ctx, "functions", "hello")
	if err != nil {
		return 0, err
	}
	if s := at(fn, "status", "build", "state"); s != "Succeeded" {
		return 0, fmt.Errorf("the build is %v", s)
	}
	text, _ := at(fn, "status", "build", "buildDuration").(string)
	return time.ParseDuration(text)
}

// idle measures the platform with functions deployed and nothing to do.
func (b *bench) idle(ctx context.Context) error {
	if err := b.awaitCopies(ctx, true); err != nil {
		return err
	}
	before, err := b.processor()
	if err != nil {
		return err
	}
	const window = 30 * time.Second
	time.Sleep(window)
	after, err := b.processor()
	if err != nil {
		return err
	}
	mb, err := b.resident()
	if err != nil {
		return err
	}
	row("idle resident memory", mb, 240, "MB")
	row("idle processor, 30 s", 100*float64(after-before)/float64(window), 2, "%")
	return nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
