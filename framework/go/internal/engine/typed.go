package engine

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

// typedFunction takes JSON and answers with JSON.
func (c *caller) typedFunction(f *registry.Function) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind := r.Header.Get("Content-Type"); kind != "" && !isJSON(kind) {
			http.Error(w, "this function takes JSON: send the content type application/json", http.StatusUnsupportedMediaType)
			return
		}
		body, no := c.readBody(w, r)
		if no != nil {
			no.write(w)
			return
		}
		call, rw := c.begin(w, r)
		var answer []byte
		c.run(call, func() {
			var err error
			answer, err = f.Typed(call.GetNativeContext(), body)
			call.WithError(err)
			call.WithOut(ofctx.NewFunctionOut().WithData(answer))
		})
		c.answerTyped(rw, call, f, answer)
	})
}

func (c *caller) answerTyped(w http.ResponseWriter, call *ofctx.FunctionContext, f *registry.Function, answer []byte) {
	var input *registry.InputError
	switch {
	case errors.As(call.Error, &input):
		badRequest("the request body is not the JSON that this function takes: %s", detail(input)).write(w)
	case call.Error != nil:
		id := host.Failure{Function: f.Name, Cause: call.Error.Error()}.Log(c.log, call.SyncRequest.Request)
		host.WriteFailure(w, http.StatusInternalServerError, "error", id)
	case answer == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a client that has gone is told nothing
	}
}

// isJSON tells whether a media type is JSON; parameters do not matter.
func isJSON(contentType string) bool {
	media := mediaType(contentType)
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// mediaType is a content type without parameters, in lower case.
func mediaType(contentType string) string {
	if media, _, err := mime.ParseMediaType(contentType); err == nil {
		return media
	}
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}
