// Command complete-main is a function with a main of its own: it chooses its plugins and sees the errors of its functions. It runs anywhere:
//
//	PORT=8080 go run .
package main

import (
	"context"
	"log"
	"net/http"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/framework"
)

func main() {
	ctx := context.Background()
	fwk, err := framework.NewFramework(framework.WithErrorHandler(func(ctx ofctx.RuntimeContext, err error) {
		log.Printf("%s failed: %v", ctx.GetName(), err)
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := fwk.Register(ctx, hello); err != nil {
		log.Fatal(err)
	}
	if err := fwk.Start(ctx); err != nil {
		log.Fatal(err)
	}
}

func hello(w http.ResponseWriter, r *http.Request) {
	if _, err := w.Write([]byte("hello from a complete program\n")); err != nil {
		log.Print("the client has gone: ", err)
	}
}
