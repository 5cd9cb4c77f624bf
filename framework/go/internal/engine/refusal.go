package engine

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// refusal is the answer to a request that never reaches the function.
type refusal struct {
	code int
	text string
}

func (no *refusal) write(w http.ResponseWriter) { http.Error(w, no.text, no.code) }

func badRequest(format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// detail is an error on one line, as the end of a refusal.
func detail(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// readBody reads the whole body, which the length that the client declared, or the limit, bounds.
func (c *caller) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body is larger than %d bytes", c.maxBody)}
	if r.ContentLength > c.maxBody {
		return nil, tooLarge
	}
	if r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, badRequest("the request body cannot be read: %s", detail(err))
		}
		return body, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, c.maxBody))
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, badRequest("the request body cannot be read: %s", detail(err))
	}
	return body, nil
}
