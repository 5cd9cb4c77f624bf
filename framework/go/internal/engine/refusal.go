package engine

import (
	"bytes"
	"errors"
	"fmt"
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

// trusted is how much memory a declared length is given before the bytes arrive.
const trusted = 256 << 10

// readBody reads the whole body, up to the limit.
func (c *caller) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body is larger than %d bytes", c.maxBody)}
	if r.ContentLength > c.maxBody {
		return nil, tooLarge
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(min(r.ContentLength, trusted)) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, c.maxBody))
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, badRequest("the request body cannot be read: %s", detail(err))
	}
	return body.Bytes(), nil
}
