// Command greeter is a function: an HTTP server at $PORT that says who it is and what it was given, and how often something was posted to it.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"sync/atomic"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, os.Getenv(r.URL.RawQuery)) })
	var ticks atomic.Int64
	http.HandleFunc("/ticks", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, ticks.Load()) })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			ticks.Add(1)
		}
		fmt.Fprintf(w, "Hello, %s! %s\n", r.URL.Path[1:], os.Getenv("MOOD"))
	})
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
