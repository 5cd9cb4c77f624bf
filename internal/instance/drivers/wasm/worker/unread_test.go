package worker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestUnreadBody: a connection goes on after a request whose body the function did not read, and an answer does not wait for a body that
// nobody wants.
func TestUnreadBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	o := Options{TempDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}
	served := make(chan error, 1)
	go func() {
		served <- ServeAlone(ctx, l, o, Alone{Module: []byte(command), Args: []string{"f"}, Log: io.Discard})
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	answer := func(why string) *http.Response {
		t.Helper()
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", why, err, &log)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" {
			t.Fatalf("%s: %q %v", why, b, err)
		}
		return resp
	}
	const post = "POST / HTTP/1.1\r\nHost: f\r\n"
	for n := range 50 {
		fmt.Fprint(conn, post+"Content-Length: 1\r\n\r\nx")
		answer(fmt.Sprint("request ", n))
	}
	fmt.Fprint(conn, post+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
	if !answer("a body without an end").Close {
		t.Error("the connection was to go on after a body without an end")
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if log.Len() > 0 {
		t.Errorf("it was told of\n%s", &log)
	}
}
