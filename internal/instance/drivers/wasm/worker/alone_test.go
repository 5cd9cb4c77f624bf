package worker

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// command is a module that writes a CGI response with fd_write and ends.
const command = "\x00asm\x01\x00\x00\x00\x01\x0c\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\x00\x00\x02\x23\x01\x16wasi_snapshot_preview1\x08fd_write\x00\x00\x03\x02\x01\x01" +
	"\x05\x03\x01\x00\x01\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x01\x0a\x0f\x01\x0d\x00\x41\x01\x41\x00\x41\x01\x41\x08\x10\x00\x1a\x0b" +
	"\x0b\x18\x02\x00\x41\x00\x0b\x08\x10\x00\x00\x00\x05\x00\x00\x00\x00\x41\x10\x0b\x05hello"

// TestServeAlone: a module answers without a driver; a probe does not reach it; what is no function is told.
func TestServeAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	o := Options{TempDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	var log bytes.Buffer
	go func() {
		served <- ServeAlone(ctx, l, o, Alone{Module: []byte(command), Args: []string{"f"}, Log: &log})
	}()
	for probe, want := range map[string]string{"": "hello", "queue": ""} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("K-Network-Probe", probe)
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(b) != want {
			t.Errorf("with the probe %q: %s %q %v", probe, resp.Status, b, err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("it ended with %v", err)
	}
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := ServeAlone(t.Context(), l, o, Alone{Module: []byte(command[:40]), Log: &log}); err == nil || !strings.Contains(err.Error(), "not valid WebAssembly") {
		t.Errorf("half a module: %v", err)
	}
}
