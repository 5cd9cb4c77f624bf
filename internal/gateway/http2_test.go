package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"golang.org/x/net/http2"
)

func TestHTTP2(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		rev := revisionOf(t, activator.Options{H2C: h2c}, serveCopy(t, "a", http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("Trailer", "X-End")
				fmt.Fprintf(w, "%d %s %s %s", r.ProtoMajor, r.Host, r.RequestURI, body)
				w.Header().Set("X-End", "done")
			})))
		g := start(t, Options{}, everything(t, rev))
		for _, major := range []int{1, 2} {
			protocols := new(http.Protocols)
			protocols.SetHTTP1(major == 1)
			protocols.SetUnencryptedHTTP2(major == 2)
			tr := &http.Transport{Protocols: protocols}
			for range 3 {
				resp, err := (&http.Client{Transport: tr}).Post(g.url("/p%2Fq?x=;"), "text/plain", bytes.NewReader([]byte("body")))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := fmt.Sprintf("%d %s /p%%2Fq?x=; body", map[bool]int{false: 1, true: 2}[h2c], g.addr)
				if err != nil || string(body) != want || resp.ProtoMajor != major || resp.Trailer.Get("X-End") != "done" {
					t.Errorf("h2c %v, client %d: %q, %v, %v; want %q", h2c, major, body, err, resp.Trailer, want)
				}
			}
			tr.CloseIdleConnections()
		}
	}
}

// TestPingAfterGoAway asks for a sign of life after the gateway has said all: the client still gets the answer it has not
// read, and no reset.
func TestPingAfterGoAway(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	g := single(t, Options{DrainTimeout: 10 * time.Second}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(inside)
		<-release
		io.WriteString(w, strings.Repeat("x", 10000))
	}))
	c := g.dial(t)
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true,
		BlockFragment: []byte{0x82, 0x86, 0x84, 0x41, 1, 'a'}}) // GET http / to a
	<-inside
	g.stop()
	got := 0
	for released := false; ; {
		frame, err := f.ReadFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		switch frame := frame.(type) {
		case *http2.GoAwayFrame:
			if !released {
				close(release)
				released = true
			}
		case *http2.DataFrame:
			for i := 0; got == 0 && i < 500; i++ { // before it reads on
				f.WritePing(false, [8]byte{1})
				runtime.Gosched()
			}
			got += len(frame.Data())
		}
	}
	if got != 10000 {
		t.Errorf("got %d bytes", got)
	}
	c.Close()
	<-g.done
	g.done <- nil
}
