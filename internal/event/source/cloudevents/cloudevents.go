// Package cloudevents takes CloudEvents over HTTP, in binary, structured and batch mode, as they are. A call is answered when its
// events are safe.
package cloudevents

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.CloudEventsSpec.
type spec struct {
	Path           string   `json:"path"`
	Token          string   `json:"token"`
	AllowedOrigins []string `json:"allowedOrigins"`
	MaxBytes       int64    `json:"maxBytes"`
}

// New makes the sources, which listen at mux.
func New(mux *source.Mux) source.New {
	return func(c source.Config) (source.Source, error) {
		var s spec
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		path, err := c.HTTPPath(s.Path)
		if err != nil {
			return nil, err
		}
		s.Path = path
		return &receiver{id: c.Identity, spec: s, mux: mux}, nil
	}
}

type receiver struct {
	id   source.Identity
	spec spec
	mux  *source.Mux
}

func (v *receiver) Run(ctx context.Context, out source.Out) error {
	return v.mux.Run(ctx, out, source.Endpoint{
		Path: v.spec.Path, Methods: []string{http.MethodPost, http.MethodOptions}, MaxBytes: v.spec.MaxBytes,
		Handle: func(ctx context.Context, r *http.Request, body []byte) source.Answer {
			if r.Method == http.MethodOptions {
				return v.handshake(r)
			}
			if !v.known(r) {
				return source.Answer{Code: http.StatusUnauthorized, Header: map[string]string{"WWW-Authenticate": "Bearer"}, Body: "the token is missing or wrong"}
			}
			return v.take(ctx, out.Emit, r, body)
		},
	})
}

func (v *receiver) take(ctx context.Context, emit source.Emit, r *http.Request, body []byte) source.Answer {
	events, found, err := cloudevent.FromHTTP(r.Header, body)
	switch {
	case !found:
		return source.Answer{Code: http.StatusUnsupportedMediaType, Body: "this is no CloudEvent: send ce- headers, " + cloudevent.MediaType + " or " + cloudevent.BatchMediaType}
	case err != nil:
		return source.Answer{Code: http.StatusBadRequest, Body: err.Error()}
	}
	w := source.NewWindow(ctx, 64, emit)
	for _, e := range events {
		if w.Add(e, func() {}) != nil {
			break
		}
	}
	if err := w.Close(); err != nil || ctx.Err() != nil {
		return source.Unsafe
	}
	return source.Answer{Code: http.StatusAccepted}
}

func (v *receiver) known(r *http.Request) bool {
	if v.spec.Token == "" {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(v.spec.Token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// handshake is the abuse protection of the webhook specification: senders ask before they send.
func (v *receiver) handshake(r *http.Request) source.Answer {
	origin := r.Header.Get("WebHook-Request-Origin")
	header := map[string]string{"Allow": "POST, OPTIONS"}
	if origin == "" || !slices.Contains(v.spec.AllowedOrigins, "*") && !slices.Contains(v.spec.AllowedOrigins, origin) {
		return source.Answer{Code: http.StatusOK, Header: header}
	}
	header["WebHook-Allowed-Origin"] = origin
	if slices.Contains(v.spec.AllowedOrigins, "*") {
		header["WebHook-Allowed-Origin"] = "*"
	}
	header["WebHook-Allowed-Rate"] = "*"
	return source.Answer{Code: http.StatusOK, Header: header}
}
