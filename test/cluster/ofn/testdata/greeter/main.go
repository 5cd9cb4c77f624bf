// Command greeter is a function: an HTTP server at $PORT that says who it is and what it was given.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, os.Getenv(r.URL.RawQuery)) })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s! %s\n", r.URL.Path[1:], os.Getenv("MOOD"))
	})
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
