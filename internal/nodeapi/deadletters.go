package nodeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ErrNoLetter says that there is no dead letter of an id; ErrRefused is wrapped by why one cannot be delivered again.
var (
	ErrNoLetter = errors.New("there is no such dead letter")
	ErrRefused  = errors.New("it cannot be delivered")
)

// DeadLetter is an event that could not be delivered.
type DeadLetter struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // of what gave it up: Trigger, Source, App
	From     string    `json:"from"` // its name
	Part     string    `json:"part,omitempty"`
	Sink     string    `json:"sink,omitempty"`
	Cause    string    `json:"cause"`
	Code     int       `json:"code,omitempty"` // HTTP status of the last attempt
	Answer   string    `json:"answer,omitempty"`
	Attempts int       `json:"attempts"`
	Accepted time.Time `json:"accepted"`
	Last     time.Time `json:"last"`

	Event *Event `json:"event,omitempty"` // of one that is asked for, not of lists
}

// DeadLetterQuery chooses dead letters of a namespace. Zero fields choose all.
type DeadLetterQuery struct {
	Namespace, Kind, From string

	After string // the id of the last one that is known
	Limit int
}

// DeadLetters keeps them. Ids of other namespaces are ErrNoLetter.
type DeadLetters interface {
	List(ctx context.Context, q DeadLetterQuery) ([]DeadLetter, error)
	Get(ctx context.Context, namespace, id string) (DeadLetter, error)
	// Redrive delivers it again, and deletes it when it was taken. ErrRefused says that it was not.
	Redrive(ctx context.Context, namespace, id string) error
	Delete(ctx context.Context, namespace, id string) error
}

// deadLetterPage is how many a page has at most.
const deadLetterPage = 1000

// DeadLetterList is a page, the oldest first. Continue is empty when there are no more.
type DeadLetterList struct {
	Items    []DeadLetter `json:"deadLetters"`
	Continue string       `json:"continue,omitempty"`
}

func (h *handler) deadLetters(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := DeadLetterQuery{Namespace: r.PathValue("namespace"), Kind: v.Get("kind"), From: v.Get("from"), After: v.Get("continue"), Limit: 100}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			h.failed(w, r, fmt.Errorf("%w: limit=%q is not a number of dead letters", errQuery, s))
			return
		}
		q.Limit = min(n, deadLetterPage)
	}
	found, err := h.o.DeadLetters.List(r.Context(), q)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	list := DeadLetterList{Items: found}
	if len(found) == q.Limit {
		list.Continue = found[len(found)-1].ID
	}
	writeJSON(w, list)
}

func (h *handler) deadLetter(w http.ResponseWriter, r *http.Request) {
	l, err := h.o.DeadLetters.Get(r.Context(), r.PathValue("namespace"), r.PathValue("id"))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	writeJSON(w, l)
}

// letterDo is for what only succeeds or fails.
func (h *handler) letterDo(do func(context.Context, string, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := do(r.Context(), r.PathValue("namespace"), r.PathValue("id")); err != nil {
			h.failed(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
