package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event/cloudevent"
)

const (
	maxAnswer = 1 << 10 // kept of a refusal
	maxReply  = 1 << 20 // of an answer that is an event
	maxDrain  = 64 << 10
)

// Attempt tries once.
func (d *Deliverer) Attempt(ctx context.Context, v Delivery) Result {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	began := time.Now()
	kind, r := "topic", Result{}
	switch {
	case v.Sink.Function != nil:
		kind = "function"
		r = d.function(ctx, v)
	case v.Sink.URI != "":
		kind = "uri"
		r = d.uri(ctx, v)
	case v.Sink.Topic != "":
		r = d.topic(ctx, v)
	default:
		r = final(errors.New("the sink names neither a function, a URI nor a topic"))
	}
	if r.Err == nil && r.reply != nil && v.Reply != nil {
		r = d.reply(ctx, v, r)
	}
	d.o.Metrics.Attempt(v.From, kind, outcome(r), time.Since(began), r.Err)
	return r
}

func outcome(r Result) string {
	switch {
	case r.Err == nil:
		return "delivered"
	case errors.Is(r.Err, errOpen):
		return "circuit"
	case r.Retry:
		return "retried"
	}
	return "refused"
}

func final(err error) Result { return Result{Err: err} }

// reply publishes what the sink answered with. It belongs to the attempt: a lost reply would be a lost event.
func (d *Deliverer) reply(ctx context.Context, v Delivery, r Result) Result {
	sub := d.Attempt(ctx, Delivery{Event: *r.reply, Sink: *v.Reply, From: v.From, Part: v.Part})
	if sub.Err != nil {
		return Result{Err: fmt.Errorf("the sink took the event, its reply could not be passed on: %w", sub.Err), Code: r.Code, Retry: sub.Retry, After: sub.After}
	}
	return r
}

func (d *Deliverer) topic(ctx context.Context, v Delivery) Result {
	if d.o.Topics == nil {
		return final(errors.New("this platform has no event buses"))
	}
	m := Message(v.Event, v.Sink.Topic)
	return d.guarded(ctx, "topic "+v.Sink.Bus.String(), func() Result {
		if err := d.o.Topics.Publish(ctx, v.Sink.Bus, m); err != nil {
			return Result{Err: fmt.Errorf("publishing to topic %s of bus %s: %w", v.Sink.Topic, v.Sink.Bus, err), Retry: !errors.Is(err, bus.ErrTooLarge)}
		}
		return Result{}
	})
}

// Message is an event as buses carry it.
func Message(e cloudevent.Event, topic string) bus.Message {
	return bus.Message{Topic: topic, ID: e.DedupeID(), Key: e.Extension(cloudevent.PartitionKey), Header: e.Header(), Data: e.Data}
}

func (d *Deliverer) function(ctx context.Context, v Delivery) Result {
	if d.o.Functions == nil || d.o.HostOf == nil {
		return final(errors.New("this platform calls no functions"))
	}
	host := d.o.HostOf(*v.Sink.Function)
	path := v.Sink.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	u, err := url.Parse("http://" + host + path)
	if err != nil {
		return final(fmt.Errorf("calling %s: %w", Describe(v.Sink), err))
	}
	return d.guarded(ctx, host, func() Result { return d.call(ctx, d.o.Functions, u, v, nil) })
}

func (d *Deliverer) uri(ctx context.Context, v Delivery) Result {
	if d.o.URIs == nil {
		return final(errors.New("this platform calls no URIs"))
	}
	u, err := url.Parse(v.Sink.URI)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return final(fmt.Errorf("the sink's uri %q is not http://HOST... or https://HOST...", v.Sink.URI))
	}
	var key []byte
	if d.o.SigningKey != nil {
		if key, err = d.o.SigningKey(ctx, v.From.Namespace); err != nil {
			return Result{Err: fmt.Errorf("reading the signing key of namespace %s: %w", v.From.Namespace, err), Retry: true}
		}
	}
	return d.guarded(ctx, u.Host, func() Result { return d.call(ctx, d.o.URIs, u, v, key) })
}

func (d *Deliverer) call(ctx context.Context, via http.RoundTripper, u *url.URL, v Delivery, key []byte) Result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(v.Event.Data))
	if err != nil {
		return final(fmt.Errorf("calling %s: %w", Describe(v.Sink), err))
	}
	req.URL, req.Host = u, u.Host // which were read before
	v.Event.SetHTTP(req.Header)
	if u.User != nil {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	if key != nil {
		if err := sign(req.Header, v.Event, key); err != nil {
			return final(err)
		}
	}
	resp, err := via.RoundTrip(req)
	if err != nil {
		return Result{Err: fmt.Errorf("calling %s: %w", redacted(v, u), err), Retry: true}
	}
	defer func() { _ = resp.Body.Close() }()
	return answer(resp, redacted(v, u))
}

// redacted is the sink without the password of its URI.
func redacted(v Delivery, u *url.URL) string {
	if v.Sink.Function != nil {
		return Describe(v.Sink)
	}
	return "uri " + u.Redacted()
}

func sign(h http.Header, e cloudevent.Event, key []byte) error {
	hook, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	now := time.Now()
	signature, err := hook.Sign(e.ID, now, e.Data)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	h.Set(standardwebhooks.HeaderWebhookID, e.ID)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}

// answer reads what a sink said.
func answer(resp *http.Response, sink string) Result {
	r := Result{Code: resp.StatusCode}
	if resp.StatusCode/100 == 2 {
		if !replies(resp.Header) {
			_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // so that the connection can be used again
			return r
		}
		body, err := cloudevent.ReadLimited(resp.Body, maxReply)
		if err != nil && !errors.Is(err, io.ErrShortBuffer) {
			return Result{Code: r.Code, Err: fmt.Errorf("reading the answer of %s: %w", sink, err), Retry: true}
		}
		if events, found, err := cloudevent.FromHTTP(resp.Header, body); found && err == nil && len(events) == 1 && int64(len(body)) < maxReply {
			r.reply = &events[0]
		}
		return r
	}
	r.Answer, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // so that the connection can be used again
	r.Err = fmt.Errorf("%s answered %d %s", sink, resp.StatusCode, http.StatusText(resp.StatusCode))
	if text := strings.TrimSpace(string(r.Answer)); text != "" {
		r.Err = fmt.Errorf("%w: %.200q", r.Err, text)
	}
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		r.Retry = true
	default:
		r.Retry = resp.StatusCode >= 500
	}
	r.After = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return r
}

func replies(h http.Header) bool {
	return h.Get("Ce-Specversion") != "" || strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), cloudevent.MediaType)
}

// retryAfter reads both forms of the header; 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
