package test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds one.
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// call is one request to a function.
type call struct {
	method, body, host string
	headers            list
	status             int
	timeout            time.Duration
	url                string
}

func newCall(ts *testscript.TestScript, args []string) (*call, error) {
	c := &call{}
	f := flag.NewFlagSet("http", flag.ContinueOnError)
	f.StringVar(&c.method, "X", http.MethodGet, "")
	f.StringVar(&c.body, "d", "", "")
	f.StringVar(&c.host, "host", "", "")
	f.Var(&c.headers, "H", "")
	f.IntVar(&c.status, "status", http.StatusOK, "")
	f.DurationVar(&c.timeout, "t", 2*time.Minute, "")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != 1 {
		return nil, fmt.Errorf("usage: http [flags] FUNCTION[/PATH]")
	}
	name, path, _ := strings.Cut(f.Arg(0), "/")
	if c.host == "" {
		c.host = name + "." + ts.Getenv("NAMESPACE") + ".localhost"
	}
	c.url = "http://" + serverOf(ts).gateway + "/" + path
	return c, nil
}

func (c *call) do(client *http.Client) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	var body io.Reader
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, body)
	if err != nil {
		return "", err
	}
	req.Host = c.host
	for _, h := range c.headers {
		k, v, _ := strings.Cut(h, ":")
		req.Header.Add(k, strings.TrimSpace(v))
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return string(got), fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != c.status {
		return string(got), fmt.Errorf("%s answered %s, not %d: %s", c.host, resp.Status, c.status, got)
	}
	return string(got), nil
}

// httpCommand calls a function of the script's namespace and prints the answer's body:
// http [-X METHOD] [-d BODY] [-H 'K: V'] [-host HOST] [-status CODE] [-t LIMIT] FUNCTION[/PATH].
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	c, err := newCall(ts, args)
	ts.Check(err)
	got, err := c.do(http.DefaultClient)
	fmt.Fprint(ts.Stdout(), got)
	if neg != (err != nil) {
		ts.Fatalf("http: got %v", err)
	}
}

// hang begins a call and goes away before the answer has come: hang AFTER FUNCTION[/PATH].
func hang(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hang AFTER FUNCTION[/PATH]")
	}
	c, err := newCall(ts, []string{"-t", args[0], args[1]})
	ts.Check(err)
	if got, err := c.do(&http.Client{}); err == nil {
		ts.Fatalf("the answer has ended: %.200s", got)
	}
}

// eventually runs a command until what it prints matches: eventually [-t LIMIT] [-not] PATTERN COMMAND...
// COMMAND is http, metrics (of ofn) or a program; only what it prints counts.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	f := flag.NewFlagSet("eventually", flag.ContinueOnError)
	limit := f.Duration("t", 3*time.Minute, "") // of a machine that builds for other scripts meanwhile
	not := f.Bool("not", false, "")
	ts.Check(f.Parse(args))
	if neg || f.NArg() < 2 {
		ts.Fatalf("usage: eventually [-t LIMIT] [-not] PATTERN COMMAND...")
	}
	want, err := regexp.Compile("(?m)" + f.Arg(0))
	ts.Check(err)
	if *clusterGateway != "" {
		*limit *= clusterPatience
	}
	var last string
	if !until(*limit, func() bool {
		last = attempt(ts, f.Args()[1:])
		return want.MatchString(last) != *not
	}) {
		ts.Fatalf("after %v, %s still prints\n%s", *limit, strings.Join(f.Args()[1:], " "), last)
	}
	fmt.Fprint(ts.Stdout(), last)
}

func attempt(ts *testscript.TestScript, args []string) string {
	switch args[0] {
	case "metrics":
		got, err := serverOf(ts).scrape()
		if err != nil {
			return err.Error()
		}
		return got
	case "http":
		c, err := newCall(ts, args[1:])
		ts.Check(err)
		got, err := c.do(http.DefaultClient)
		if err != nil {
			return fmt.Sprintf("%s\n%v", got, err)
		}
		return got
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	program := args[0]
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if found, err := exec.LookPath(dir + "/" + args[0]); err == nil {
			program = found
			break
		}
	}
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") }),
		"KUBECONFIG="+ts.Getenv("KUBECONFIG"), "OFN_DATA_DIR="+ts.Getenv("DATA"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s\n%v", out, err)
	}
	return string(out)
}

// scrape reads what ofn measures.
func (s *server) scrape() (string, error) {
	if s.cluster != nil {
		return s.cluster.scrape()
	}
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("reading the metrics: %w", err)
	}
	return string(text), nil
}

// sparse makes a file that looks large: sparse FILE BYTES.
func sparse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sparse FILE BYTES")
	}
	var size int64
	_, err := fmt.Sscan(args[1], &size)
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	ts.Check(f.Truncate(size))
}
