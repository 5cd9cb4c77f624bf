package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
	"github.com/OpenFunction/functions-framework-go/plugin"
)

// fixture is an engine with functions declared for one test.
type fixture struct {
	*Engine
	log bytes.Buffer
}

func newFixture(t *testing.T, env map[string]string, declare func(*registry.Registry), more ...func(*Config)) *fixture {
	t.Helper()
	fx, reg := &fixture{}, &registry.Registry{}
	declare(reg)
	c := Config{Getenv: func(k string) string { return env[k] }, Declared: reg, Log: slog.New(slog.NewJSONHandler(&fx.log, nil))}
	for _, m := range more {
		m(&c)
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	fx.Engine = e
	return fx
}

// handler is served as Start would, with what package host adds.
func (fx *fixture) handler(t *testing.T) http.Handler {
	t.Helper()
	if err := fx.TryRegisterFunctions(context.Background()); err != nil {
		t.Fatal(err)
	}
	h, err := fx.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return host.Wrap(h, fx.config.Log)
}

func do(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func say(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, text+" "+r.PathValue("id")+ofctx.URLParamFromCtx(r.Context(), "name"))
	}
}

func TestRouting(t *testing.T) {
	several := func(r *registry.Registry) {
		r.Add("root", say("root"))
		r.Add("hello", say("hello"), registry.WithPath("/hello/{name}"), registry.WithMethods("GET", "POST"))
		r.Add("number", say("number"), registry.WithPath("/n/{id:[0-9]+}"))
	}
	one := func(r *registry.Registry) { r.Add("root", say("root")) }
	for _, tt := range []struct {
		name         string
		declare      func(*registry.Registry)
		target       string
		method, path string
		code         int
		body, allow  string
	}{
		{"variable", several, "", "GET", "/hello/bob", 200, "hello bob", ""},
		{"pattern", several, "", "GET", "/n/12", 200, "number 12", ""},
		{"pattern does not match", several, "", "GET", "/n/x", 404, "", ""},
		{"method", several, "", "PUT", "/hello/bob", 405, "", "GET, POST"},
		{"root is exact among several", several, "", "GET", "/other", 404, "", ""},
		{"double slash is not redirected", one, "", "POST", "//a", 200, "root ", ""},
		{"one function takes every path", one, "", "GET", "/ns/fn/x", 200, "root ", ""},
		{"target keeps its path", several, "hello", "GET", "/hello/bob", 200, "hello bob", ""},
		{"target is at the root too", several, "hello", "GET", "/", 200, "hello ", ""},
		{"target keeps its methods", several, "hello", "DELETE", "/", 405, "", "GET, POST"},
		{"others are not served", several, "hello", "GET", "/n/12", 404, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFixture(t, map[string]string{TargetEnvName: tt.target}, tt.declare).handler(t)
			w := do(h, tt.method, tt.path, "")
			if w.Code != tt.code || w.Header().Get("Allow") != tt.allow || (tt.body != "" && w.Body.String() != tt.body) {
				t.Errorf("%d %q, Allow %q", w.Code, w.Body, w.Header().Get("Allow"))
			}
		})
	}
}

func TestBadDeclarations(t *testing.T) {
	ok := say("")
	for name, tt := range map[string]struct {
		declare func(*registry.Registry)
		env     map[string]string
		want    string
	}{
		"nothing":          {func(r *registry.Registry) {}, nil, "no function is registered"},
		"name":             {func(r *registry.Registry) { r.Add("1x", ok) }, nil, `"1x" is not valid`},
		"long name":        {func(r *registry.Registry) { r.Add(strings.Repeat("a", 64), ok) }, nil, "not valid"},
		"same name":        {func(r *registry.Registry) { r.Add("a", ok); r.Add("a", ok, registry.WithPath("/b")) }, nil, "twice"},
		"same path":        {func(r *registry.Registry) { r.Add("a", ok); r.Add("b", ok) }, nil, "WithFunctionPath"},
		"path":             {func(r *registry.Registry) { r.Add("a", ok, registry.WithPath("x")) }, nil, "begin with /"},
		"pattern":          {func(r *registry.Registry) { r.Add("a", ok, registry.WithPath("/{x")) }, nil, "not a valid pattern"},
		"signature":        {func(r *registry.Registry) { r.Add("a", func() {}) }, nil, "signature func()"},
		"target":           {func(r *registry.Registry) { r.Add("a", ok) }, map[string]string{TargetEnvName: "b"}, "there are: a"},
		"inputs, no Dapr":  {func(r *registry.Registry) { r.Add("a", echo) }, async, "without Dapr"},
		"inputs, http":     {func(r *registry.Registry) { r.Add("a", ok) }, async, "signature"},
		"inputs, several":  {func(r *registry.Registry) { r.Add("a", echo); r.Add("b", echo, registry.WithPath("/b")) }, async, "only one function"},
		"outputs, no Dapr": {func(r *registry.Registry) { r.Add("a", echo) }, outputs, "NewFramework"},
	} {
		fx := newFixture(t, tt.env, tt.declare)
		err := fx.TryRegisterFunctions(context.Background())
		if err == nil {
			_, err = fx.Handler()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

var (
	async   = map[string]string{"FUNC_CONTEXT": `{"runtime":"Async","inputs":{"i":{"componentName":"c","componentType":"bindings.cron"}}}`}
	outputs = map[string]string{"FUNC_CONTEXT": `{"outputs":{"o":{"componentName":"c","componentType":"bindings.http"}}}`}
)

func echo(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
	return ctx.ReturnOnSuccess().WithData(in), nil
}

func TestOpenFunctionAnswers(t *testing.T) {
	boom := errors.New("the secret cause")
	for name, tt := range map[string]struct {
		fn           func(ofctx.Context, []byte) (ofctx.Out, error)
		code         int
		body, status string
		id           bool
	}{
		"echo":    {echo, 200, "in", "success", false},
		"nothing": {func(ofctx.Context, []byte) (ofctx.Out, error) { return nil, nil }, 200, "", "success", false},
		"code": {func(c ofctx.Context, _ []byte) (ofctx.Out, error) {
			return ofctx.NewFunctionOut().WithCode(201).WithData([]byte("made")), nil
		}, 201, "made", "success", false},
		"no code": {func(ofctx.Context, []byte) (ofctx.Out, error) { return &ofctx.FunctionOut{Data: []byte("d")}, nil }, 200, "d", "success", false},
		"404": {func(ofctx.Context, []byte) (ofctx.Out, error) {
			return ofctx.NewFunctionOut().WithCode(404).WithData([]byte("none")), nil
		}, 404, "none", "error", false},
		"204": {func(ofctx.Context, []byte) (ofctx.Out, error) {
			return ofctx.NewFunctionOut().WithCode(204).WithData([]byte("x")), nil
		}, 204, "", "success", false},
		"error": {func(ofctx.Context, []byte) (ofctx.Out, error) { return nil, boom }, 500, "internal error, id ", "error", true},
		"error 422": {func(ofctx.Context, []byte) (ofctx.Out, error) {
			return ofctx.NewFunctionOut().WithCode(422).WithData([]byte("why")), boom
		}, 422, "why", "error", true},
		"error 200":   {func(c ofctx.Context, _ []byte) (ofctx.Out, error) { return c.ReturnOnSuccess(), boom }, 500, "internal", "error", true},
		"code 42":     {func(ofctx.Context, []byte) (ofctx.Out, error) { return ofctx.NewFunctionOut().WithCode(42), nil }, 500, "", "error", false},
		"nil pointer": {func(ofctx.Context, []byte) (ofctx.Out, error) { var o *ofctx.FunctionOut; return o, nil }, 200, "", "success", false},
		"own answer": {func(c ofctx.Context, _ []byte) (ofctx.Out, error) {
			c.GetSyncRequest().ResponseWriter.WriteHeader(202)
			return c.ReturnOnSuccess().WithData([]byte("more")), nil
		}, 202, "more", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			fx := newFixture(t, nil, func(r *registry.Registry) { r.Add("f", tt.fn) })
			w := do(fx.handler(t), "POST", "/", "in")
			if w.Code != tt.code || !strings.HasPrefix(w.Body.String(), tt.body) || (tt.body == "" && w.Body.Len() > 0) ||
				w.Header().Get(host.StatusHeader) != tt.status || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%d %q, status %q", w.Code, w.Body, w.Header().Get(host.StatusHeader))
			}
			if id := w.Header().Get(host.ErrorIDHeader); (id != "") != tt.id || !strings.Contains(fx.log.String(), id) {
				t.Errorf("error id %q, log %s", id, &fx.log)
			}
		})
	}
}

func TestOpenFunctionInput(t *testing.T) {
	fn := func(c ofctx.Context, in []byte) (ofctx.Out, error) {
		return c.ReturnOnSuccess().WithData([]byte(string(in) + "|" + c.GetCloudEvent().ID() + "|" + string(c.GetInnerEvent().GetUserData()) +
			"|" + ofctx.URLParamFromCtx(c.GetNativeContext(), "name"))), nil
	}
	h := newFixture(t, nil, func(r *registry.Registry) {
		r.Add("f", fn, registry.WithPath("/{name}"))
	}).handler(t)
	for name, tt := range map[string]struct {
		body, want string
		header     []string
		code       int
	}{
		"plain":      {"body", "body||body|x", nil, 200},
		"structured": {`{"specversion":"1.0","id":"7","type":"t","source":"s","data":{"a":1}}`, `{"a":1}|7|{"a":1}|x`, []string{"Content-Type", "application/cloudevents+json"}, 200},
		"binary":     {`data`, `data|7|data|x`, []string{"Ce-Specversion", "1.0", "Ce-Id", "7", "Ce-Type", "t", "Ce-Source", "s", "Content-Type", "text/plain"}, 200},
		"broken":     {`{`, ``, []string{"Content-Type", "application/cloudevents+json"}, 400},
		"invalid":    {`{"specversion":"1.0","id":"7"}`, ``, []string{"Content-Type", "application/cloudevents+json"}, 400},
	} {
		if w := do(h, "POST", "/x", tt.body, tt.header...); w.Code != tt.code || (tt.want != "" && w.Body.String() != tt.want) {
			t.Errorf("%s: %d %q, want %q", name, w.Code, w.Body, tt.want)
		}
	}
}

const oneEvent = `{"specversion":"1.0","id":"%","type":"t","source":"s","data":"d"}`

func TestCloudEvent(t *testing.T) {
	results := map[string]error{
		"ok": nil, "ack": protocol.ResultACK, "nack": protocol.ResultNACK, "plain": errors.New("the secret cause"),
		"teapot": cehttp.NewResult(418, "short and %s", "stout"),
	}
	var mu sync.Mutex
	var seen []string
	fn := func(ctx context.Context, e event.Event) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e.ID())
		return results[e.ID()]
	}
	fx := newFixture(t, nil, func(r *registry.Registry) { r.Add("f", fn) })
	h := fx.handler(t)
	structured := func(id string) string { return strings.Replace(oneEvent, "%", id, 1) }
	one, many := []string{"Content-Type", "application/cloudevents+json"}, []string{"Content-Type", "application/cloudevents-batch+json"}
	for name, tt := range map[string]struct {
		method, body string
		header       []string
		code         int
		text         string
		seen         []string
	}{
		"structured":  {"POST", structured("ok"), one, 200, "", []string{"ok"}},
		"binary":      {"POST", "d", []string{"Ce-Specversion", "1.0", "Ce-Id", "ok", "Ce-Type", "t", "Ce-Source", "s"}, 200, "", []string{"ok"}},
		"ack":         {"POST", structured("ack"), one, 200, "", []string{"ack"}},
		"nack":        {"POST", structured("nack"), one, 500, "internal error, id ", []string{"nack"}},
		"plain error": {"POST", structured("plain"), one, 500, "internal error, id ", []string{"plain"}},
		"result":      {"POST", structured("teapot"), one, 418, "short and stout", []string{"teapot"}},
		"batch":       {"POST", "[" + structured("ok") + "," + structured("ack") + "]", many, 200, "", []string{"ok", "ack"}},
		"batch with a failure": {"POST", "[" + structured("ok") + "," + structured("teapot") + "," + structured("ack") + "]", many, 418, "short and stout",
			[]string{"ok", "teapot", "ack"}},
		"empty batch":   {"POST", "[]", many, 200, "", nil},
		"invalid batch": {"POST", "[" + structured("ok") + `,{"specversion":"1.0","id":"x"}]`, many, 400, "", nil},
		"no event":      {"POST", "hello", nil, 415, "the request is not a CloudEvent", nil},
		"broken":        {"POST", "{", one, 400, "", nil},
		"invalid":       {"POST", `{"specversion":"1.0","id":"x"}`, one, 400, "the CloudEvent lacks the attribute source", nil},
		"method":        {"GET", "", nil, 405, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			w := do(h, tt.method, "/", tt.body, tt.header...)
			if w.Code != tt.code || !strings.HasPrefix(w.Body.String(), tt.text) || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%d %q", w.Code, w.Body)
			}
			if !slices.Equal(seen, tt.seen) {
				t.Errorf("the function saw %v, want %v", seen, tt.seen)
			}
		})
	}
	if !strings.Contains(fx.log.String(), "the secret cause") {
		t.Error("the cause is not in the log")
	}
}

// spy is a plugin that writes down what happens.
type spy struct {
	name  string
	log   *[]string
	calls int
	fail  error
}

func (s *spy) Name() string                   { return s.name }
func (s *spy) Version() string                { return "v1" }
func (s *spy) Init() plugin.Plugin            { return &spy{name: s.name, log: s.log, fail: s.fail} }
func (s *spy) Get(string) (interface{}, bool) { return s.calls, true }

type hookKey struct{}

func (s *spy) ExecPreHook(ctx ofctx.RuntimeContext, all map[string]plugin.Plugin) error {
	s.calls++
	*s.log = append(*s.log, "pre "+s.name)
	ctx.SetNativeContext(context.WithValue(ctx.GetNativeContext(), hookKey{}, "from hook"))
	return s.fail
}

func (s *spy) ExecPostHook(ctx ofctx.RuntimeContext, all map[string]plugin.Plugin) error {
	line := "post " + s.name
	if out := ctx.GetOut(); out != nil {
		line += " " + http.StatusText(out.GetCode())
	}
	if err := ctx.GetError(); err != nil {
		line += " " + err.Error()
	}
	if s.calls != 1 || all[s.name] != plugin.Plugin(s) {
		line += " with a stranger's state"
	}
	*s.log = append(*s.log, line)
	return nil
}

func TestHooks(t *testing.T) {
	hooks := map[string]string{"FUNC_CONTEXT": `{"prePlugins":["a","b","missing"],"postPlugins":["b","a"]}`}
	for name, tt := range map[string]struct {
		fn   any
		body string
		want []string
		err  string
	}{
		"http": {func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(hookKey{}) != "from hook" {
				t.Error("the hook's context does not reach the function")
			}
			w.WriteHeader(202)
		}, "", []string{"pre a", "pre b", "post b Accepted", "post a Accepted"}, ""},
		"openfunction": {func(c ofctx.Context, _ []byte) (ofctx.Out, error) {
			return c.ReturnOnInternalError(), errors.New("cause")
		}, "",
			[]string{"pre a", "pre b", "post b Internal Server Error cause", "post a Internal Server Error cause"}, "cause"},
		"cloudevent": {func(ctx context.Context, e event.Event) error { return errors.New("cause") }, strings.Replace(oneEvent, "%", "1", 1),
			[]string{"pre a", "pre b", "post b Internal Server Error cause", "post a Internal Server Error cause"}, "cause"},
		"panic": {func(c ofctx.Context, _ []byte) (ofctx.Out, error) { panic("oh") }, "",
			[]string{"pre a", "pre b", "post b function panicked: oh", "post a function panicked: oh"}, "function panicked: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			var log []string
			var raw error
			fx := newFixture(t, hooks, func(r *registry.Registry) { r.Add("f", tt.fn) }, func(c *Config) {
				c.OnError = func(_ ofctx.RuntimeContext, err error) { raw = err }
			})
			fx.RegisterPlugins(map[string]plugin.Plugin{
				"a": &spy{name: "a", log: &log, fail: errors.New("hook failed")}, "b": &spy{name: "b", log: &log},
			})
			h := fx.handler(t)
			do(h, "POST", "/", tt.body, "Content-Type", "application/cloudevents+json")
			if tt.body == "" {
				log, raw = nil, nil
				do(h, "POST", "/", "plain")
			}
			if !slices.Equal(log, tt.want) {
				t.Errorf("hooks %q, want %q", log, tt.want)
			}
			if (raw == nil) != (tt.err == "") || raw != nil && raw.Error() != tt.err {
				t.Errorf("the error handler saw %v, want %q", raw, tt.err)
			}
			for _, want := range []string{"plugin not found", "hook failed"} {
				if !strings.Contains(fx.log.String(), want) {
					t.Errorf("the log lacks %q", want)
				}
			}
		})
	}
}

// Calls at the same time share nothing.
func TestConcurrentCalls(t *testing.T) {
	h := newFixture(t, nil, func(r *registry.Registry) {
		r.Add("f", func(c ofctx.Context, in []byte) (ofctx.Out, error) {
			return c.ReturnOnSuccess().WithData(c.GetInnerEvent().GetUserData()), nil
		})
	}).handler(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				body := strings.Repeat("x", i)
				if w := do(h, "POST", "/", body); w.Body.String() != body {
					t.Errorf("%q, want %q", w.Body, body)
				}
			}
		}()
	}
	wg.Wait()
}
