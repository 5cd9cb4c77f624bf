//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server is a running program.
type server struct {
	cmd     *exec.Cmd
	address string
	took    time.Duration // from start to first answer
}

// start returns when the server has answered.
func start(ctx context.Context, p program) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{address: l.Addr().String(), cmd: exec.CommandContext(ctx, p.args[0], p.args[1:]...)}
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(s.address)
	s.cmd.Env = append(append(os.Environ(), "PORT="+port, "HOST=127.0.0.1"), p.env...)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(began) < 30*time.Second {
		if _, err := s.requests(ctx, time.Now(), new(atomic.Int64)); err == nil {
			s.took = time.Since(began)
			return s, nil
		}
		time.Sleep(time.Millisecond)
	}
	s.stop()
	return nil, errors.New("the server does not answer")
}

func (s *server) stop() {
	var others []int // in groups of their own
	_ = s.each(func(pid string) error {
		n, err := strconv.Atoi(pid)
		others = append(others, n)
		return err
	})
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	for _, n := range others {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
	_ = s.cmd.Wait()
}

// requests sends requests on one connection until end, at least one.
func (s *server) requests(ctx context.Context, end time.Time, count *atomic.Int64) (int64, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: f\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"); err != nil {
			return 0, err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || string(body) != "hello" || res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("answered %s %q: %w", res.Status, body, err)
		}
		if n := count.Add(1); !time.Now().Before(end) {
			return n, nil
		}
	}
}

// load sends requests on 16 connections and returns how many a second of the server's processor time has served.
func (s *server) load(ctx context.Context, length time.Duration) (float64, error) {
	before, err := s.processor()
	if err != nil {
		return 0, err
	}
	end := time.Now().Add(length)
	var (
		count atomic.Int64
		wait  sync.WaitGroup
		mu    sync.Mutex
		errs  []error
	)
	for range 16 {
		wait.Go(func() {
			if _, err := s.requests(ctx, end, &count); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	after, err := s.processor()
	if err = errors.Join(append(errs, err)...); err != nil {
		return 0, err
	}
	return float64(count.Load()) / (after - before).Seconds(), nil
}

// processor is the time that the server and its threads have used. Children that serve too are counted by their group.
func (s *server) processor() (time.Duration, error) {
	var ticks int64
	err := s.each(func(pid string) error {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return err
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
		for _, f := range fields[11:13] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return err
			}
			ticks += n
		}
		return nil
	})
	return time.Duration(ticks) * 10 * time.Millisecond, err // USER_HZ is 100 on every Linux that Go runs on
}

// memory is the proportional set size in MB.
func (s *server) memory() (float64, error) {
	var sum float64
	err := s.each(func(pid string) error {
		text, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); f[0] == "Pss:" {
				n, err := strconv.ParseFloat(f[1], 64)
				sum += n / 1000
				return err
			}
		}
		return errors.New("no Pss in smaps_rollup")
	})
	return sum, err
}

// settled is the memory once it stays what it is: a program that has just started still gives some back.
func (s *server) settled(ctx context.Context) (float64, error) {
	const enough, steady = 40, 3
	last, same := -1.0, 0
	for range enough {
		now, err := s.memory()
		if err != nil {
			return 0, err
		}
		if same++; math.Abs(now-last) > 0.2 {
			same = 0
		}
		if last = now; same == steady {
			break
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return last, nil
}

// each calls f with every process of the server's group, and its children in others.
func (s *server) each(f func(pid string) error) error {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, n := range names {
		pid, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err != nil || group != s.cmd.Process.Pid && parent(pid) != s.cmd.Process.Pid {
			continue
		}
		if err := f(n.Name()); err != nil {
			return err
		}
	}
	return nil
}

// parent is the number of a process's parent; 0 when it has gone.
func parent(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	n, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return n
}
