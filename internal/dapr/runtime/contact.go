package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// contact is what was found out about a revision of an app by asking one of its copies.
type contact struct {
	protocol string
	listed   map[[2]string]*listing // the subscriptions that it asks for itself
}

type listing struct {
	subscription
	router *router
}

// askTimeout bounds each question to a copy.
const askTimeout = 3 * time.Second

// ask finds out the protocol of an app, unless it is told, and its own subscriptions. Apps that speak HTTP/1.1 are asked first, as
// what a function without Dapr answers to GET /dapr/subscribe is harmless; gRPC servers do not answer it, or say 400 or 403.
func ask(ctx context.Context, protocol, token string, dial dialer) (string, []subscription, error) {
	if protocol != "" {
		subs, err := list(ctx, protocol, token, dial)
		var other *notAnswered
		if errors.As(err, &other) {
			err = nil
		}
		return protocol, subs, err
	}
	code, subs, err := greet(ctx, token, dial)
	if err == nil && !ambiguous[code] {
		return "http", subs, nil
	}
	if speaksGRPC(ctx, dial) {
		subs, err = list(ctx, "grpc", token, dial)
		return "grpc", subs, err
	}
	if err == nil {
		return "http", nil, nil
	}
	return "", nil, fmt.Errorf("the function speaks neither HTTP nor gRPC on its port: %w", err)
}

// greet asks for subscriptions over HTTP/1.1 on a bare connection: net/http would log what servers of HTTP/2 say first.
func greet(ctx context.Context, token string, dial dialer) (code int, subs []subscription, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://app/dapr/subscribe", nil)
	if err != nil {
		return 0, nil, err
	}
	req.Close = true
	if token != "" {
		req.Header.Set("dapr-api-token", token)
	}
	if err := req.Write(conn); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, err
	}
	// A function that answers everything answers this as well, with what is no list of subscriptions.
	subs, err = readSubscriptions(body)
	if err != nil {
		return resp.StatusCode, nil, nil //nolint:nilerr // it speaks HTTP and asks for nothing
	}
	return resp.StatusCode, subs, nil
}

// ambiguous are what servers of HTTP/2 answer to HTTP/1.1.
var ambiguous = map[int]bool{http.StatusBadRequest: true, http.StatusForbidden: true, http.StatusUpgradeRequired: true, http.StatusHTTPVersionNotSupported: true}

func list(ctx context.Context, protocol, token string, dial dialer) ([]subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	ch, err := newChannel(protocol, token, dial)
	if err != nil {
		return nil, err
	}
	defer ch.close()
	return ch.subscriptions(ctx)
}

// speaksGRPC asks as gRPC does and looks at the content type of the answer, which an HTTP server has no reason to copy.
func speaksGRPC(ctx context.Context, dial dialer) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	h := newHTTPChannel("", dial, true)
	defer h.close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://app/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions", bytes.NewReader(make([]byte, 5)))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := h.client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc")
}

// newContact compiles what an app asked for. Broken subscriptions are left out and told.
func newContact(protocol string, subs []subscription) (*contact, error) {
	c := &contact{protocol: protocol, listed: map[[2]string]*listing{}}
	var broken []error
	for _, s := range subs {
		if s.Component == "" || s.Topic == "" {
			broken = append(broken, errors.New("a subscription of the function's own names no pubsub or no topic"))
			continue
		}
		r, err := newRouter(s.Rules, s.Default)
		if err != nil {
			broken = append(broken, fmt.Errorf("the function's own subscription to %s of %s: %w", s.Topic, s.Component, err))
			continue
		}
		c.listed[s.key()] = &listing{s, r}
	}
	return c, errors.Join(broken...)
}

// path of an event of a subscription at this app. ok is false for events that nobody wants.
func (c *contact) path(ev *topicEvent, own *router) (path string, ok bool) {
	if ev.sub.Source != "input" {
		return own.path(ev.event)
	}
	if l, found := c.listed[ev.sub.key()]; found {
		return l.router.path(ev.event)
	}
	if c.protocol == "grpc" {
		return "", true
	}
	return "/" + strings.TrimPrefix(ev.sub.Topic, "/"), true
}
