// Package greet declares two functions with paths and methods of their own; both are served by one process.
//
//	curl http://…/hello/bob       {"hello":"bob"}
//	curl http://…/orders/12       order 12
//	curl http://…/orders/twelve   404: the pattern asks for digits
package greet

import (
	"encoding/json"
	"fmt"
	"net/http"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/functions"
)

func init() {
	functions.HTTP("Hello", hello,
		functions.WithFunctionPath("/hello/{name}"),
		functions.WithFunctionMethods("GET", "POST"),
	)
	functions.HTTP("Order", order, functions.WithFunctionPath("/orders/{id:[0-9]+}"))
}

func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]string{"hello": ofctx.VarsFromCtx(r.Context())["name"]})
	if err != nil {
		fmt.Println("the client has gone:", err)
	}
}

func order(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "order %s\n", r.PathValue("id")) // the standard library's way works too
}
