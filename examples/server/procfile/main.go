// Command hello is a server that knows nothing of where it runs.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
)

func main() {
	greeting := flag.String("greeting", "hello", "what is said")
	port := flag.Int("port", 8080, "where to listen")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s, %s\n", *greeting, r.URL.Path[1:]) })
	log.Fatal(http.ListenAndServe(fmt.Sprintf(":%d", *port), nil))
}
