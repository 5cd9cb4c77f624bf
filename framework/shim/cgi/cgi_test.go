package cgi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	netcgi "net/http/cgi"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
	"github.com/openfunction/ofn/framework/shim/shimtest"
)

// The test binary is the program when it is told to be.
func TestMain(m *testing.M) {
	if os.Getenv("GATEWAY_INTERFACE") != "" {
		program(os.Getenv("PATH_INFO"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program(path string) {
	switch path {
	case "/status":
		fmt.Print("Status: 404 Not Found\r\nContent-Type: text/plain\r\nX-Own: a\r\nX-Own: b\r\n\r\nnot here")
	case "/location":
		fmt.Print("Location: http://elsewhere/\n\n")
	case "/empty":
		fmt.Print("Content-Type: text/plain\n\n")
	case "/nothing":
	case "/garbage":
		fmt.Print("this is no header\n\nbody")
	case "/nohead":
		fmt.Print("Content-Type: text/plain\n")
	case "/notype":
		fmt.Print("X-Own: a\n\nbody")
	case "/badstatus":
		fmt.Print("Status: huge\n\nbody")
	case "/longhead":
		fmt.Print(strings.Repeat("X: y\n", maxHead))
	case "/exit":
		os.Exit(3)
	case "/late":
		fmt.Print("Content-Type: text/plain\n\nhalf")
		os.Exit(3)
	case "/hang":
		select {}
	case "/large":
		fmt.Print("Content-Type: text/plain\n\n" + strings.Repeat("0123456789", 1<<17))
	default:
		body, err := io.ReadAll(os.Stdin)
		fmt.Printf("Content-Type: text/plain\n\n%s %s %s %s %s %s %s %v", os.Getenv("REQUEST_METHOD"), path, os.Getenv("QUERY_STRING"), os.Getenv("CONTENT_LENGTH"),
			os.Getenv("CONTENT_TYPE"), os.Getenv("HTTP_X_OWN"), body, err)
	}
}

func newContract(t *testing.T, env host.Env, log io.Writer) *Contract {
	t.Helper()
	if env == nil {
		env = host.Env{}
	}
	env["PATH"], env["GORACE"] = "/bin:/usr/bin", shimtest.Race
	c, err := New([]string{os.Args[0]}, env, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

type said struct {
	code int
	head string
	body string
}

func call(t *testing.T, h http.Handler, r *http.Request) said {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	to, err := http.NewRequestWithContext(t.Context(), r.Method, server.URL+r.URL.RequestURI(), r.Body)
	if err != nil {
		t.Fatal(err)
	}
	to.Header, to.ContentLength = r.Header, r.ContentLength
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(to)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		body = append(body, " broken"...)
	}
	return said{resp.StatusCode, fmt.Sprint(resp.Header["Content-Type"], resp.Header["Location"], resp.Header["X-Own"]), string(body)}
}

// What programs write that keep the rules is answered as Go's own server answers it.
func TestAsNetHTTPCGI(t *testing.T) {
	var log bytes.Buffer
	ours := newContract(t, nil, &log)
	theirs := &netcgi.Handler{Path: os.Args[0], Root: "/", Logger: nil, Stderr: io.Discard}
	for _, path := range []string{"/a/b?c=d%20e", "/status", "/location", "/empty", "/large", "/r%C3%A4um"} {
		t.Run(path, func(t *testing.T) {
			request := func() *http.Request {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("the body"))
				r.Header.Set("Content-Type", "text/own")
				r.Header.Set("X-Own", "yes")
				return r
			}
			got, want := call(t, ours, request()), call(t, theirs, request())
			if got != want {
				t.Errorf("got  %.200v\nwant %.200v", got, want)
			}
		})
	}
}

func TestBadPrograms(t *testing.T) {
	for path, c := range map[string]struct {
		code int
		says string
	}{
		"/nothing":   {500, "it wrote nothing"},
		"/garbage":   {500, "is no header"},
		"/nohead":    {500, "no empty line"},
		"/notype":    {500, "neither a Content-Type"},
		"/badstatus": {500, "is not a number"},
		"/longhead":  {500, "header is longer than"},
		"/exit":      {500, "exit code 3"},
		"/late":      {200, "exit code 3"},
		"/hang":      {504, "ran too long"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			limit := "1m"
			if path == "/hang" {
				limit = "300ms"
			}
			got := call(t, newContract(t, host.Env{"exec_timeout": limit}, &log), httptest.NewRequest(http.MethodGet, path, nil))
			if got.code != c.code || !strings.Contains(log.String(), c.says) {
				t.Errorf("got %v, log %s, want %d and %q", got, log.String(), c.code, c.says)
			}
			if path == "/late" && !strings.HasSuffix(got.body, "broken") {
				t.Errorf("the answer looks whole: %q", got.body)
			}
		})
	}
}

// A caller that goes away takes its program with it.
func TestGone(t *testing.T) {
	var log bytes.Buffer
	c := newContract(t, nil, &log)
	begun, done := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		close(begun)
		c.ServeHTTP(w, r)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		time.AfterFunc(100*time.Millisecond, cancel) // most likely the program runs
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/hang", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("it answered")
	}
	<-done
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("Status: 200 OK\r\nContent-Type: a/b\r\n\r\nbody"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := httptest.NewRecorder()
		p := &reply{w: w}
		for _, b := range data { // in the smallest pieces
			if _, err := p.Write([]byte{b}); err != nil {
				return
			}
		}
		if err := p.end(); err == nil && (w.Code < 200 || w.Code > 599) {
			t.Errorf("status %d", w.Code)
		}
	})
}
