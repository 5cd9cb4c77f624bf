package callhttp

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/openfunction/ofn/internal/calls"
)

// codes say what an error of calls is over HTTP.
var codes = []struct {
	err   error
	code  int
	after int // seconds
}{
	{calls.ErrInvalid, http.StatusBadRequest, 0},
	{calls.ErrTooLarge, http.StatusRequestEntityTooLarge, 0},
	{calls.ErrFull, http.StatusServiceUnavailable, 5},
	{calls.ErrUnavailable, http.StatusServiceUnavailable, 5},
	{calls.ErrClosed, http.StatusServiceUnavailable, 1},
	{calls.ErrKeyReused, http.StatusUnprocessableEntity, 0},
	{calls.ErrNotFound, http.StatusNotFound, 0},
	{calls.ErrFinished, http.StatusConflict, 0},
	{calls.ErrNotFinished, http.StatusConflict, 0},
}

// fail tells an error of calls. What is none of them stays inside.
func (f *Front) fail(w http.ResponseWriter, err error) {
	for _, c := range codes {
		if !errors.Is(err, c.err) {
			continue
		}
		if c.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(c.after))
		}
		f.problem(w, c.code, err.Error())
		return
	}
	f.o.Log.Error("handling a call", "err", err)
	w.Header().Set("Retry-After", "5")
	f.problem(w, http.StatusServiceUnavailable, "asynchronous calls are not available now")
}

// problem is told as RFC 9457 asks for.
func (f *Front) problem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	answerAs(w, code, struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		// Message is what the clients of the control plane show.
		Message string `json:"message"`
	}{http.StatusText(code), code, detail, detail})
}
