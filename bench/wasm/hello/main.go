// Command hello is a handler made with the framework, for the benchmark.
package main

import (
	"io"
	"net/http"

	wasmfn "github.com/openfunction/ofn/framework/wasm/go"
)

func init() { wasmfn.Handle(http.HandlerFunc(hello)) } //nolint:gochecknoinits // the way of handlers: main does not run

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func main() {}
