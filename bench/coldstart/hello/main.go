// Command hello is the function whose cold start is measured: an HTTP server on an inherited socket, or on the unix
// socket that SOCKET names.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello, world\n")
	})))
}

func listen() (net.Listener, error) {
	if name := os.Getenv("SOCKET"); name != "" {
		return net.Listen("unix", name)
	}
	return net.FileListener(os.NewFile(3, "activation"))
}
