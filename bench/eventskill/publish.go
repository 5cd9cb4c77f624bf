//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	driver "github.com/redis/go-redis/v9"
)

const (
	padding = 200 // bytes of an event beside its id
	batch   = 20  // entries that Redis is given at once
	tryWait = 10 * time.Millisecond
)

// text is what an event carries.
func text(key string, n int) string {
	return fmt.Sprintf("%s-%d %s", key, n, strings.Repeat("x", padding))
}

// hooks publishes webhooks of one key, one after the other, until there are none left. What was not answered is sent again.
type hooks struct {
	client *http.Client
	ledger *ledger
	left   *atomic.Int64
}

func newHooks(dir string, l *ledger, left *atomic.Int64) *hooks {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, platformSocket))
	}
	return &hooks{client: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 256}, Timeout: 30 * time.Second}, ledger: l, left: left}
}

func (h *hooks) publish(ctx context.Context, key string) {
	for n := 0; h.left.Add(-1) >= 0; n++ {
		for !h.post(ctx, key, n) {
			if !pause(ctx, tryWait) {
				return
			}
		}
		h.ledger.acknowledge(key, 1)
	}
}

func (h *hooks) post(ctx context.Context, key string, n int) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://platform"+hookPath, strings.NewReader(text(key, n)))
	if err != nil {
		return false
	}
	for name, value := range map[string]string{
		"Content-Type": "text/plain", "Ce-Specversion": "1.0", "Ce-Id": fmt.Sprintf("%s-%d", key, n), "Ce-Source": "/eventskill", "Ce-Type": "test", "Ce-Partitionkey": key,
	} {
		req.Header.Set(name, value)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err == nil && resp.StatusCode == http.StatusAccepted
}

// add publishes n entries of the stream that follow the first ones.
func add(ctx context.Context, db *driver.Client, l *ledger, first, n int) error {
	const key = string(entryKey) + "0"
	for n > 0 {
		some := min(n, batch)
		p := db.Pipeline()
		for i := range some {
			p.XAdd(ctx, &driver.XAddArgs{Stream: stream, Values: map[string]any{"data": text(key, first+i)}})
		}
		if _, err := p.Exec(ctx); err != nil {
			return fmt.Errorf("publishing to Redis: %w", err)
		}
		l.acknowledge(key, some)
		first, n = first+some, n-some
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
