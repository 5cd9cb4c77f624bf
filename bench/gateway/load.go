package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"sort"
	"strconv"
	"sync"
	"time"
)

var request = []byte("GET / HTTP/1.1\r\nHost: hello.default.example\r\n\r\n")

// client is a connection that sends one request after the other.
type client struct {
	nc net.Conn
	r  *bufio.Reader
}

func connect(c contender) (*client, error) {
	nc, err := net.DialTimeout(c.network, c.addr, time.Second)
	if err != nil {
		return nil, err
	}
	return &client{nc, bufio.NewReader(nc)}, nil
}

// do sends a request and reads the answer with as little work as possible, so that the server's share shows.
func (c *client) do() error {
	if _, err := c.nc.Write(request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && string(line[9:12]) != "200" {
			return fmt.Errorf("answer %q", line)
		}
		if len(line) == 2 {
			break
		}
		if len(line) > 16 && (string(line[:15]) == "Content-Length:") {
			if length, err = strconv.Atoi(string(line[16 : len(line)-2])); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answer without Content-Length")
	}
	_, err := c.r.Discard(length)
	return err
}

// once asks for one page, with a complete client.
func once(c contender) (int64, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!c.h2)
	protocols.SetUnencryptedHTTP2(c.h2)
	t := &http.Transport{DisableKeepAlives: true, Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.DialTimeout(c.network, c.addr, time.Second)
	}}
	resp, err := (&http.Client{Transport: t, Timeout: 2 * time.Second}).Get("http://hello.default.example/")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answer %s", resp.Status)
	}
	return io.Copy(io.Discard, resp.Body)
}

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// throughput is in requests per second.
func throughput(ctx context.Context, c contender, conns int, d time.Duration) (float64, error) {
	if c.h2 {
		return throughputH2(c, d)
	}
	if wrk, err := exec.LookPath("wrk"); err == nil && c.network == "tcp" {
		out, err := exec.CommandContext(ctx, wrk, "-t1", "-c"+strconv.Itoa(conns), "-d"+strconv.Itoa(max(1, int(d.Seconds())))+"s",
			"http://"+c.addr+"/").CombinedOutput()
		m := wrkRate.FindSubmatch(out)
		if err != nil || m == nil {
			return 0, fmt.Errorf("wrk: %w: %s", err, out)
		}
		return strconv.ParseFloat(string(m[1]), 64)
	}
	return goLoad(c, conns, d)
}

func goLoad(c contender, conns int, d time.Duration) (float64, error) {
	var wg sync.WaitGroup
	counts, errs := make([]int, conns), make([]error, conns)
	begin := time.Now()
	for i := range conns {
		wg.Go(func() { counts[i], errs[i] = loop(c, begin.Add(d), nil) })
	}
	wg.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / time.Since(begin).Seconds(), errors.Join(errs...)
}

// loop sends requests until the end, and tells each how long it took.
func loop(c contender, end time.Time, took func(time.Duration)) (int, error) {
	cl, err := connect(c)
	if err != nil {
		return 0, err
	}
	defer cl.nc.Close()
	for n := 0; ; n++ {
		before := time.Now()
		if before.After(end) {
			return n, nil
		}
		if err := cl.do(); err != nil {
			return n, err
		}
		if took != nil {
			took(time.Since(before))
		}
	}
}

// latency is that of one connection, in microseconds.
func latency(c contender, d time.Duration) (p50, p99 float64, err error) {
	var all []float64
	end, took := time.Now().Add(d), func(t time.Duration) { all = append(all, float64(t.Nanoseconds())/1e3) }
	if c.h2 {
		_, err = loopH2(c, 1, end, took)
	} else {
		_, err = loop(c, end, took)
	}
	if err != nil || len(all) == 0 {
		return 0, 0, err
	}
	sort.Float64s(all)
	return all[len(all)/2], all[len(all)*99/100], nil
}
