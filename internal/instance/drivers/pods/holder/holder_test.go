package holder_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
)

// wait starts a holder whose token is "secret" and returns its address, what it was given, and its end.
func wait(t *testing.T, most int64) (address string, given chan *holder.Program) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	given = make(chan *holder.Program, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p, err := holder.Wait(ctx, l, holder.Options{TokenHash: holder.Hash("secret"), Dir: t.TempDir(), Most: most, Unpack: swallow, Environ: []string{"A=pod", "B=pod"}, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			given <- p
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String(), given
}

// swallow unpacks what begins with "tar".
func swallow(_ context.Context, archive io.Reader) error {
	data, err := io.ReadAll(archive)
	if err == nil && !strings.HasPrefix(string(data), "tar") {
		err = errors.New("this is no archive")
	}
	return err
}

func give(t *testing.T, address, token, program string, o holder.Order) error {
	t.Helper()
	return holder.Give(t.Context(), http.DefaultClient, address, token, o, strings.NewReader(program), int64(len(program)))
}

func TestBecomesAProgram(t *testing.T) {
	address, given := wait(t, 100<<20)
	if err := holder.Waits(t.Context(), http.DefaultClient, address); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789", 1<<20)
	long := "B=" + strings.Repeat("x", 200<<10)
	if err := give(t, address, "secret", large, holder.Order{Args: []string{"/app/fn", "-v"}, Env: []string{"C=1", long}, Dir: "/app"}); err != nil {
		t.Fatal(err)
	}
	p := <-given
	got, err := os.ReadFile(p.Path)
	if err != nil || string(got) != large {
		t.Errorf("the program has %d bytes, not %d (%v)", len(got), len(large), err)
	}
	if info, err := os.Stat(p.Path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the program is %v, %v", info.Mode(), err)
	}
	if !slices.Equal(p.Env, []string{"A=pod", long, "C=1"}) || !slices.Equal(p.Args, []string{"/app/fn", "-v"}) || p.Dir != "/app" {
		t.Errorf("it is run as %v in %s", p.Args, p.Dir)
	}
	if err := give(t, address, "secret", large, holder.Order{Args: []string{"x"}}); err == nil {
		t.Error("it takes another program")
	}
}

func TestBecomesFiles(t *testing.T) {
	address, given := wait(t, 10)
	if err := give(t, address, "secret", "tar", holder.Order{Args: []string{"python3"}, Env: []string{"C=1"}, Drop: []string{"A"}, Files: true}); err != nil {
		t.Fatal(err)
	}
	if p := <-given; p.Path != "" || !p.Files || !slices.Equal(p.Env, []string{"B=pod", "C=1"}) {
		t.Errorf("it becomes %+v", p)
	}
	for _, archive := range []string{"zip", "tar, and too long"} {
		address, given := wait(t, 10)
		if err := give(t, address, "secret", archive, holder.Order{Args: []string{"python3"}, Files: true}); err == nil || len(given) > 0 {
			t.Errorf("%q is taken", archive)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		token, program string
		args           []string
		want           string
	}{
		"another token":  {"guess", "program", []string{"x"}, "401"},
		"no token":       {"", "program", []string{"x"}, "401"},
		"no program":     {"secret", "", []string{"x"}, "400"},
		"too large":      {"secret", strings.Repeat("x", 11), []string{"x"}, "400"},
		"no name for it": {"secret", "program", nil, "400"},
	} {
		t.Run(name, func(t *testing.T) {
			address, given := wait(t, 10)
			err := give(t, address, test.token, test.program, holder.Order{Args: test.args})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %s", err, test.want)
			}
			select {
			case p := <-given:
				t.Errorf("it becomes %+v", p)
			default:
			}
			if test.want == "401" { // who guesses takes nothing away
				if err := give(t, address, "secret", "program", holder.Order{Args: []string{"x"}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte("{\"args\":[\"x\"]}\nprogram"))
	f.Add([]byte("{}\n"))
	f.Add([]byte("\n\n"))
	f.Add([]byte("{\"args\":[\"x\"],\"files\":true}\ntar"))
	f.Fuzz(func(t *testing.T, body []byte) {
		address, _ := wait(t, 1<<10)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/_ofn/become", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer secret")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("the answer is %s", resp.Status)
		}
	})
}
