// Package receive takes CloudEvents over HTTP: structured, binary, and several at once in batch mode.
//
//	curl http://… -H 'Content-Type: application/cloudevents+json' \
//	  -d '{"specversion":"1.0","id":"1","type":"greeting","source":"/me","data":{"name":"bob"}}'
package receive

import (
	"context"
	"fmt"
	"net/http"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

// Receive prints the name an event carries. The sender is told 400 when there is none, and 500 without details for any other error.
func Receive(ctx context.Context, e cloudevents.Event) error {
	var greeting struct{ Name string }
	if err := e.DataAs(&greeting); err != nil || greeting.Name == "" {
		return cloudevents.NewHTTPResult(http.StatusBadRequest, "event %s: data must be {\"name\": ...}", e.ID())
	}
	fmt.Printf("%s from %s: hello, %s\n", e.Type(), e.Source(), greeting.Name)
	return nil
}
