// Package wasmfn makes a WebAssembly module of an HTTP handler for the platform's Wasm runtime class. The module is kept and called
// for each request; see ../abi.md for the interface.
//
//	package main
//
//	import (
//		"fmt"
//		"net/http"
//
//		wasmfn "github.com/openfunction/ofn/framework/wasm/go"
//	)
//
//	func init() { wasmfn.Handle(http.HandlerFunc(hello)) }
//
//	func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") }
//
//	func main() {}
//
// Build it with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o app.wasm.
package wasmfn
