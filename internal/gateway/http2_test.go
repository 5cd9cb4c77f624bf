package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
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
