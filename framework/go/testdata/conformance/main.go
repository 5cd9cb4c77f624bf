// Command conformance is the fixture functions of the contract, in Go. Its argument names the one to serve.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/framework"
	"github.com/OpenFunction/functions-framework-go/functions"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/plugin"
	"github.com/OpenFunction/functions-framework-go/serve"
)

const secret = "the secret cause"

func main() {
	runner, fixture := os.Args[1], os.Args[2]
	if runner == "host" {
		host.Main(httpFixtures()[fixture])
	}
	declare(fixture)
	if runner == "serve" {
		serve.Main(plugins())
	}
	ctx := context.Background()
	fwk, err := framework.NewFramework()
	if err != nil {
		host.End(nil, err)
	}
	fwk.RegisterPlugins(plugins())
	host.End(nil, fwk.Start(ctx))
}

// declare declares the functions of a fixture.
func declare(fixture string) {
	if fn := httpFixtures()[fixture]; fn != nil {
		functions.HTTP(fixture, fn)
		return
	}
	switch fixture {
	case "eventVoid":
		functions.CloudEvent(fixture, eventVoid)
	case "eventRaise":
		functions.CloudEvent(fixture, eventRaise)
	case "eventEcho":
		functions.CloudEventReply(fixture, eventEcho)
	case "eventMake":
		functions.CloudEventReply(fixture, eventMake)
	case "typed":
		functions.Typed(fixture, greet)
	case "multi", "missing":
		several()
	default:
		fn := map[string]func(ofctx.Context, []byte) (ofctx.Out, error){
			"ofEcho": ofEcho, "ofCode": ofCode, "ofRaise": ofRaise, "ofEvent": ofEvent, "ofPlugins": ofPlugins, "ofRetry": ofRetry, "ofSend": ofSend,
		}[fixture]
		if fn == nil {
			log.Fatalf("there is no fixture %q", fixture)
		}
		functions.OpenFunction(fixture, fn)
	}
}

func several() {
	answer := func(text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, text) }
	}
	variable := func(text, name string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, text, r.PathValue(name)) }
	}
	functions.HTTP("hello", variable("hello", "name"), functions.WithFunctionPath("/hello/{name}"), functions.WithFunctionMethods("GET"))
	functions.HTTP("number", variable("number", "id"), functions.WithFunctionPath("/{id:[0-9]+}"))
	functions.HTTP("save", answer("saved"), functions.WithFunctionPath("/save"), functions.WithFunctionMethods("POST", "PUT"))
	functions.HTTP("load", answer("loaded"), functions.WithFunctionPath("/load"), functions.WithFunctionMethods("GET"))
	functions.CloudEvent("note", eventVoid, functions.WithFunctionPath("/note"))
	functions.HTTP("bad", httpRaise, functions.WithFunctionPath("/bad"))
	functions.OpenFunction("of", ofEcho, functions.WithFunctionPath("/of"))
}

func httpFixtures() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"httpEcho":      httpEcho,
		"httpEmpty":     func(http.ResponseWriter, *http.Request) {},
		"httpStatus":    httpStatus,
		"httpStream":    httpStream,
		"httpSlow":      func(w http.ResponseWriter, r *http.Request) { gate(r); fmt.Fprintln(w, "done") },
		"httpSize":      httpSize,
		"httpRaise":     httpRaise,
		"httpRaiseLate": httpRaiseLate,
		"httpExit":      func(http.ResponseWriter, *http.Request) { os.Exit(7) },
		"httpPrint":     httpPrint,
		"httpUnicode":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "héllo wörld ✓ 日本") },
		"httpDeadline":  httpDeadline,
		"httpLog":       httpLog,
	}
}

func httpEcho(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Method", r.Method)
	h.Set("X-Path", r.URL.EscapedPath())
	h.Set("X-Query", r.URL.RawQuery)
	for header, from := range map[string]string{"X-Out": "X-In", "Content-Type": "Content-Type"} {
		if v := r.Header.Get(from); v != "" {
			h.Set(header, v)
		}
	}
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
		panic(err)
	}
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(err)
	}
}

func httpStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.URL.Query().Get("code"))
	if err != nil {
		panic(err)
	}
	w.Header().Set("X-Fixture", "yes")
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "status %d\n", code)
}

func httpStream(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, "first")
	w.(http.Flusher).Flush()
	gate(r)
	fmt.Fprintln(w, "second")
}

func httpSize(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(w, n)
}

func httpRaise(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Leak", "yes")
	panic(secret)
}

func httpRaiseLate(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "half")
	w.(http.Flusher).Flush()
	panic(secret)
}

func httpPrint(w http.ResponseWriter, _ *http.Request) {
	fmt.Println("plain line")
	fmt.Fprintln(os.Stderr, "error line")
	io.WriteString(w, "ok")
}

func httpDeadline(w http.ResponseWriter, r *http.Request) {
	deadline, ok := r.Context().Deadline()
	if !ok {
		fmt.Fprintln(w, "none")
		return
	}
	fmt.Fprintln(w, time.Until(deadline).Milliseconds())
}

func httpLog(w http.ResponseWriter, r *http.Request) {
	host.Logger(r).Info("from the function", "answer", 42)
	io.WriteString(w, "ok")
}

// gate is how the suite holds a call.
func gate(r *http.Request) {
	query := r.URL.Query()
	if begun := query.Get("begun"); begun != "" {
		if err := os.WriteFile(begun, nil, 0o600); err != nil {
			panic(err)
		}
	}
	file := query.Get("gate")
	if file == "" {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := os.Stat(file); err == nil {
			return
		}
	}
}

// hook is a plugin that tells when it runs.
type hook struct{ name string }

func plugins() map[string]plugin.Plugin {
	return map[string]plugin.Plugin{"one": hook{"one"}, "two": hook{"two"}}
}

func (h hook) Name() string        { return h.name }
func (h hook) Version() string     { return "v1" }
func (h hook) Init() plugin.Plugin { return h }

func (h hook) ExecPreHook(ofctx.RuntimeContext, map[string]plugin.Plugin) error {
	fmt.Println("before", h.name)
	return nil
}

func (h hook) ExecPostHook(ofctx.RuntimeContext, map[string]plugin.Plugin) error {
	fmt.Println("after", h.name)
	return nil
}

func (h hook) Get(string) (any, bool) { return nil, false }
