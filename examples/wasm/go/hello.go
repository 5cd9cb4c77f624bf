// Package hello is the smallest function: one exported handler, no go.mod, no main.
//
//	ofn deploy ./hello-http
//	ofn invoke hello-http
package hello

import (
	"fmt"
	"net/http"
)

// HelloWorld greets whoever the path names: /bob is answered with "Hello, bob!".
func HelloWorld(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[1:]
	if name == "" {
		name = "World"
	}
	fmt.Fprintf(w, "Hello, %s!\n", name)
}
