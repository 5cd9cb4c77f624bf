package nodeapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/nodeapi"
)

type logs struct {
	query nodeapi.LogQuery
	pipe  *io.PipeReader
	err   error
}

func (l *logs) Function(_ context.Context, q nodeapi.LogQuery) (io.ReadCloser, error) {
	l.query = q
	if l.pipe != nil {
		return l.pipe, nil
	}
	return io.NopCloser(strings.NewReader("a line\n")), l.err
}

func (l *logs) Build(_ context.Context, namespace, builder string, _ bool) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(namespace + "/" + builder + "\n")), l.err
}

func serve(t *testing.T, l *logs) (base string, seen chan *http.Request) {
	t.Helper()
	seen = make(chan *http.Request, 1)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- r
		fmt.Fprintf(w, "%s", body)
	}))
	t.Cleanup(gateway.Close)
	u, _ := url.Parse(gateway.URL)
	s := httptest.NewServer(nodeapi.New(nodeapi.Options{Logs: l, Gateway: u, Transport: http.DefaultTransport, ClusterDomain: "cluster.local", Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(s.Close)
	return s.URL + "/ofn/v1/namespaces/ns", seen
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestLogQueries(t *testing.T) {
	l := &logs{}
	base, _ := serve(t, l)
	code, body := get(t, base+"/functions/f/logs?follow=true&tail=5&since=2026-01-02T03:04:05Z&revision=f-1&replica=x")
	want := nodeapi.LogQuery{Namespace: "ns", Function: "f", Revision: "f-1", Replica: "x", Tail: 5, Follow: true, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	if code != 200 || body != "a line\n" || l.query != want {
		t.Errorf("got %d %q %+v", code, body, l.query)
	}
	if code, body := get(t, base+"/builders/b/logs"); code != 200 || body != "ns/b\n" {
		t.Errorf("builder log: %d %q", code, body)
	}
	for _, bad := range []string{"?tail=x", "?tail=-1", "?since=yesterday"} {
		if code, _ := get(t, base+"/functions/f/logs"+bad); code != 400 {
			t.Errorf("%s answered %d, want 400", bad, code)
		}
	}
	l.err = fs.ErrNotExist
	if code, _ := get(t, base+"/builders/b/logs"); code != 404 {
		t.Errorf("a missing log answered %d", code)
	}
	l.err = errors.New("secret path /x")
	if code, body := get(t, base+"/builders/b/logs"); code != 500 || strings.Contains(body, "/x") {
		t.Errorf("a broken log answered %d %q", code, body)
	}
}

func TestFollowedLinesArriveAsTheyAreWritten(t *testing.T) {
	r, w := io.Pipe()
	base, _ := serve(t, &logs{pipe: r})
	resp, err := http.Get(base + "/functions/f/logs?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, line := range []string{"one", "two"} {
		fmt.Fprintln(w, line)
		if !lines.Scan() || lines.Text() != line {
			t.Fatalf("got %q, want %q before anything else is written", lines.Text(), line)
		}
	}
	w.Close()
}

func TestInvokeReachesTheFunctionByItsInternalName(t *testing.T) {
	base, seen := serve(t, &logs{})
	req, _ := http.NewRequest("PUT", base+"/functions/f/invoke/a%20b/c?q=1", strings.NewReader("data"))
	req.Header.Set("Authorization", "Bearer api")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, _ := io.ReadAll(r.Body); string(b) != "data" {
		t.Errorf("answered %q", b)
	}
	got := <-seen
	if got.Host != "f.ns.svc.cluster.local" || got.URL.Path != "/a b/c" || got.URL.RawQuery != "q=1" || got.Method != "PUT" || got.Header.Get("Authorization") != "" {
		t.Errorf("the gateway saw %s %s %s, authorization %q", got.Method, got.Host, got.URL, got.Header.Get("Authorization"))
	}
}
