//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openfunction/ofn/bench/runcpeer"
)

// ask sends one request on a connection of its own and reads the whole answer.
func ask(conn net.Conn, r *bufio.Reader) (int, error) {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// awaitCopies returns when a revision of the function has a copy, or, with none, when no revision has one. Numbers of copies are told a moment
// after they change.
func (b *bench) awaitCopies(ctx context.Context, none bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		list, err := b.object(ctx, "servings", "")
		if err != nil {
			return err
		}
		items, _ := list["items"].([]any)
		copies := 0.0
		for _, i := range items {
			n, _ := at(i, "status", "replicas").(float64)
			copies += n
		}
		if (copies == 0) == none && len(items) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the number of copies: %w", ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// coldStarts times requests sent at zero, in turns with runc running the same image.
func (b *bench) coldStarts(ctx context.Context, n int) error {
	peer, err := b.peer(ctx)
	if err != nil {
		fmt.Println("no comparison with runc:", err)
	}
	var ours, theirs []time.Duration
	for i := range n {
		if err := b.awaitCopies(ctx, true); err != nil {
			return err
		}
		conn, err := net.Dial("tcp", b.gateway)
		if err != nil {
			return err
		}
		begin := time.Now()
		code, err := ask(conn, bufio.NewReader(conn))
		if err != nil || code != http.StatusOK {
			return errors.Join(err, fmt.Errorf("a cold start answered %d", code))
		}
		ours = append(ours, time.Since(begin))
		conn.Close()
		if err := b.awaitCopies(ctx, false); err != nil { // or the zero of before is taken for the next one
			return err
		}
		if peer != nil {
			if d, err := peer.start(i); err != nil {
				fmt.Println("no comparison with runc:", err)
				peer = nil
			} else {
				theirs = append(theirs, d)
			}
		}
	}
	row(fmt.Sprintf("cold start through the gateway, p50 of %d", n), milliseconds(median(ours)), 10, "ms")
	fmt.Printf("%-62s %9.2f ms\n", "  p90", milliseconds(ours[len(ours)*9/10]))
	if peer != nil {
		fmt.Printf("%-62s %9.2f ms\n", "runc run of the same image, start to full answer, p50", milliseconds(median(theirs)))
		row("cold start against half of runc run", milliseconds(median(ours)), milliseconds(median(theirs))/2, "ms")
	}
	return nil
}

// peer runs the function's image with runc; the listening socket is handed over as the platform does.
type peer struct {
	bundle *runcpeer.Bundle
	dir    string
}

func (b *bench) peer(ctx context.Context) (*peer, error) {
	ref, err := name.ParseReference("127.0.0.1:15899/bench/hello:latest", name.Insecure)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("pulling the function's image: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "runc")
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	content := mutate.Extract(img)
	defer content.Close()
	if err := untar(content, root); err != nil {
		return nil, err
	}
	args := append(config.Config.Entrypoint, config.Config.Cmd...)
	bundle, err := runcpeer.New(dir, root, args, append(config.Config.Env, "PORT=8080"))
	return &peer{bundle: bundle, dir: dir}, err
}

func (p *peer) start(i int) (time.Duration, error) {
	path := filepath.Join(p.dir, "s")
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	id := fmt.Sprintf("bench-%d-%d", os.Getpid(), i)
	// runc hands sockets on only when LISTEN_PID is its own, which a shell in its place knows: about a millisecond of its time.
	run := p.bundle.Run(id)
	c := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, run.Args...)...)
	c.ExtraFiles, c.Env, c.Stderr = []*os.File{file}, append(os.Environ(), "LISTEN_FDS=1"), os.Stderr
	begin := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	code, err := ask(conn, bufio.NewReader(conn))
	took := time.Since(begin)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("answered %d", code)
	}
	return took, errors.Join(err, p.bundle.Kill(id), exited(c.Wait()))
}

// updates makes new revisions while eight connections ask without a pause, until there were enough requests.
func (b *bench) updates(ctx context.Context, want int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked, failed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { b.load(ctx, &asked, &failed) })
	}
	dir := filepath.Join(b.dir, "hello")
	revisions := 0
	begin := time.Now()
	for ; revisions < 5 || asked.Load() < int64(want); revisions++ {
		if err := source(dir, fmt.Sprintf("Hello, update %d!", revisions)); err != nil {
			return err
		}
		if _, err := b.ofn(ctx, "deploy", dir); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	cancel()
	wg.Wait()
	fmt.Printf("%-62s %9d of %d requests in %.1f s, %d new revisions  limit 0\n", "failed requests during updates under load", failed.Load(), asked.Load(), took.Seconds(), revisions)
	return nil
}

func (b *bench) load(ctx context.Context, asked, failed *atomic.Int64) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", b.gateway)
		if err != nil {
			failed.Add(1)
			continue
		}
		r := bufio.NewReader(conn)
		for ctx.Err() == nil {
			code, err := ask(conn, r)
			asked.Add(1)
			if err != nil || code != http.StatusOK {
				failed.Add(1)
				fmt.Fprintf(os.Stderr, "a request failed: %d, %v\n", code, err)
				break
			}
		}
		conn.Close()
	}
}
