package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/connect"
)

// call is what the flags of invoke say.
type call struct {
	path, method, data, file string
	json                     bool

	headers  []string
	showHead bool
	timeout  time.Duration

	async   asyncCall
	changed func(flag string) bool

	event                                       bool
	eventType, eventSource, eventID, eventAbout string
}

func (a *app) invokeCommand() *cobra.Command {
	var c call
	cmd := &cobra.Command{
		Use:   "invoke NAME[/PATH] [PATH]",
		Short: "Call a function",
		Long: `Call a function through the control plane, so that neither its DNS name nor its port must be reachable from here.

The body of the answer goes to the standard output as it comes. The exit code is 1 when the answer's status is 400 or more.

Functions of every signature are called alike: one of requests with any body, one of JSON values with --data or --json, one of events
with --cloudevent. One of several in an application is called at its own path.`,
		Example: `  ofn invoke hello /bob
  ofn invoke orders -d '{"item": "tea"}' -H 'X-Tenant: blue' -i
  ofn invoke resize --file photo.jpg > small.jpg
  ofn invoke greet --json -d '{"name": "bob"}'
  ofn invoke shop/items/7
  ofn invoke report --async --retries 3 --on-failure function:alert
  ofn invoke receive --cloudevent --type order.placed -d '{"name": "bob"}'`,
		Args:              between(1, 2, "the name of a function and perhaps a path"),
		ValidArgsFunction: a.completeFunction,
	}
	f := cmd.Flags()
	f.StringVarP(&c.data, "data", "d", "", "body; @FILE reads it from a file, @- from the standard input")
	f.StringVar(&c.file, "file", "", "file to send as the body")
	f.StringVar(&c.path, "path", "", "path to call, with its query")
	f.BoolVar(&c.json, "json", false, "the body is JSON: refuse another, and say so to the function")
	f.StringArrayVarP(&c.headers, "header", "H", nil, "header 'Name: value'; repeatable")
	f.StringVarP(&c.method, "method", "X", "", "method (default: POST with a body, else GET)")
	f.BoolVarP(&c.showHead, "include", "i", false, "print status and headers too, to the standard error")
	f.DurationVar(&c.timeout, "timeout", 0, "how long the whole call may take; 0 is without limit")
	f.BoolVar(&c.event, "cloudevent", false, "send the body as the data of a CloudEvent")
	f.StringVar(&c.eventType, "type", "ofn.invoke", "type of the CloudEvent")
	f.StringVar(&c.eventSource, "source", "ofn/cli", "source of the CloudEvent")
	f.StringVar(&c.eventID, "id", "", "id of the CloudEvent (default: a random one)")
	f.StringVar(&c.eventAbout, "subject", "", "subject of the CloudEvent")
	c.async.bind(f)
	c.changed = f.Changed
	cmd.MarkFlagsMutuallyExclusive("data", "file")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		for _, flag := range []string{"type", "source", "id", "subject"} {
			if f.Changed(flag) && !c.event {
				return fmt.Errorf("--%s belongs to --cloudevent", flag)
			}
		}
		if err := c.async.check(f); err != nil {
			return err
		}
		name, err := c.where(args)
		if err != nil {
			return err
		}
		return s.invoke(ctx, name, &c)
	})
	return cmd
}

// where takes name and path out of the arguments: NAME PATH, NAME/PATH, or NAME with --path.
func (c *call) where(args []string) (name string, err error) {
	name = strings.TrimPrefix(strings.TrimPrefix(args[0], "function/"), "fn/")
	name, below, _ := strings.Cut(name, "/")
	said := slices.DeleteFunc([]string{c.path, below}, func(p string) bool { return p == "" })
	if len(args) == 2 {
		said = append(said, args[1])
	}
	switch {
	case len(said) > 1:
		return "", fmt.Errorf("the path is given twice, as %s and %s: give it once", said[0], said[1])
	case len(said) == 0:
		said = []string{"/"}
	}
	c.path = "/" + strings.TrimPrefix(said[0], "/")
	return name, nil
}

func (s *session) invoke(ctx context.Context, name string, c *call) error {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	fn, err := s.function(ctx, name)
	if err != nil {
		return err
	}
	if c.async.on {
		if err := s.machine(ctx, "asynchronous calls"); err != nil {
			return err
		}
	}
	client, base, err := s.wayTo(ctx, fn)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, base, s.app.env.In)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return c.failed(ctx, name, err)
	}
	defer resp.Body.Close()
	if c.async.on {
		return s.accepted(ctx, fn, c, resp)
	}
	if c.showHead {
		head(s.app.env.Err, resp)
	}
	if _, err := io.Copy(s.app.env.Out, resp.Body); err != nil {
		return c.failed(ctx, name, err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return nil
	}
	fmt.Fprintf(s.app.env.Err, "\n%s answered %s\n", name, resp.Status)
	if id := resp.Header.Get("X-OpenFunction-Error-Id"); id != "" {
		fmt.Fprintf(s.app.env.Err, "why is in its log, in the line with the id %s: `ofn logs %s`\n", id, targetOf(fn))
	}
	if ready := meta.FindStatusCondition(fn.Status.Conditions, v1beta2.ConditionReady); ready == nil || ready.Status != metav1.ConditionTrue {
		fmt.Fprintf(s.app.env.Err, "it is not ready%s; follow it with `ofn get %s -w`, or look with `ofn describe %s`\n", inBrackets(ready), targetOf(fn), targetOf(fn))
	}
	return ExitCode(1)
}

func inBrackets(c *metav1.Condition) string {
	if c == nil || c.Reason == "" {
		return ""
	}
	return " (" + c.Reason + ")"
}

func (c *call) failed(ctx context.Context, name string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s has not answered within %s", name, c.timeout)
	}
	return fmt.Errorf("calling %s: %w", name, err)
}

// wayTo finds how to reach a function: through the control plane of a machine, else by its address.
func (s *session) wayTo(ctx context.Context, fn *v1beta2.Function) (*http.Client, string, error) {
	machine, err := s.Machine(ctx)
	if err != nil {
		return nil, "", err
	}
	if machine {
		return &http.Client{Transport: s.HTTP.Transport, CheckRedirect: asItIs}, s.Resolve(connect.FunctionPath(fn.Namespace, fn.Name, "invoke"), nil), nil
	}
	for _, a := range fn.Status.Addresses {
		if a.Type == v1beta2.AddressExternal {
			return &http.Client{CheckRedirect: asItIs, Transport: direct()}, strings.TrimRight(a.Value, "/"), nil
		}
	}
	if inside := address(fn); inside != "" {
		return nil, "", fmt.Errorf("function %s has no address outside of the cluster: call %s from a pod (`kubectl run -it --rm --image curlimages/curl call -- curl %s`), or give it a Gateway (docs/kubernetes.md, Routes)", fn.Name, inside, inside)
	}
	return nil, "", fmt.Errorf("function %s has no address: it is called by events, or does not run; see `ofn describe %s`", fn.Name, targetOf(fn))
}

// asItIs shows a redirect instead of following it: it is the function's answer.
func asItIs(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *call) request(ctx context.Context, base string, in io.Reader) (*http.Request, error) {
	body, contentType, err := c.body(in)
	if err == nil && c.json {
		contentType = "application/json"
		body, err = checkJSON(body)
	}
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(c.path, "?")
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("the function's address: %w", err)
	}
	if u.RawQuery = query; path != "/" || !strings.Contains(u.Path, "/ofn/v1/") {
		u = u.JoinPath(path)
	} else {
		u.Path += "/"
	}
	method := c.method
	if method == "" && body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.event {
		c.eventHeaders(req.Header)
	}
	c.async.headers(req.Header, c.changed)
	for _, h := range c.headers {
		field, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("header %q is not 'Name: value'", h)
		}
		if strings.EqualFold(field, "host") {
			return nil, errors.New("the host of a call is the function's; a header cannot replace it")
		}
		req.Header.Set(strings.TrimSpace(field), strings.TrimSpace(value))
	}
	return req, nil
}

// body is nil when there is none.
func (c *call) body(in io.Reader) (io.Reader, string, error) {
	file := c.file
	if rest, ok := strings.CutPrefix(c.data, "@"); ok {
		file = rest
	}
	switch {
	case file == "-":
		return in, "application/octet-stream", nil
	case file != "":
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, "", fmt.Errorf("reading the body: %w", err)
		}
		kind := mime.TypeByExtension(filepath.Ext(file))
		if kind == "" {
			kind = "application/octet-stream"
		}
		return bytes.NewReader(content), kind, nil
	case c.data == "" && !c.event:
		return nil, "", nil
	case c.data == "":
		return http.NoBody, "", nil
	case json.Valid([]byte(c.data)):
		return strings.NewReader(c.data), "application/json", nil
	default:
		return strings.NewReader(c.data), "text/plain; charset=utf-8", nil
	}
}

// checkJSON reads a body that must be JSON; none is null.
func checkJSON(body io.Reader) (io.Reader, error) {
	if body == nil || body == http.NoBody {
		return strings.NewReader("null"), nil
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	return bytes.NewReader(text), nil
}

// eventHeaders are those of the binary mode of CloudEvents over HTTP.
func (c *call) eventHeaders(h http.Header) {
	id := c.eventID
	if id == "" {
		id = rand.Text()
	}
	h.Set("ce-specversion", "1.0")
	h.Set("ce-id", id)
	h.Set("ce-type", c.eventType)
	h.Set("ce-source", c.eventSource)
	h.Set("ce-time", time.Now().UTC().Format(time.RFC3339Nano))
	if c.eventAbout != "" {
		h.Set("ce-subject", c.eventAbout)
	}
}

func head(w io.Writer, resp *http.Response) {
	fmt.Fprintf(w, "%s %s\n", resp.Proto, resp.Status)
	var names []string
	for name := range resp.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range resp.Header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintln(w)
}

// between wants some arguments and says what they are.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return fmt.Errorf("%s wants %s; see `%s --help`", cmd.CommandPath(), what, cmd.CommandPath())
	}
}
