//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// latencies compares what a call takes on one connection, while nothing else is asked.
func latencies(ctx context.Context, ours, bare program) error {
	var p50 [2]time.Duration
	for i, p := range []program{ours, bare} {
		s, err := start(ctx, p)
		if err != nil {
			return err
		}
		p50[i], err = s.latency(ctx)
		s.stop()
		if err != nil {
			return err
		}
	}
	fmt.Printf("one call at a time, p50               ours %6.1f µs   bare %6.1f µs   added %.1f µs\n", us(p50[0]), us(p50[1]), us(p50[0]-p50[1]))
	return nil
}

func (s *server) latency(ctx context.Context) (time.Duration, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	var took []time.Duration
	for range 5000 {
		began := time.Now()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: f\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"); err != nil {
			return 0, err
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0, err
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return median(took), nil
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
