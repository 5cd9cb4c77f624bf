package calls

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	noticeTimeout = 30 * time.Second
	noticeBody    = 256 << 10 // of a result that a webhook carries
	eventType     = "io.openfunction.call."
)

// errRefused is wrapped by what another attempt would not change.
var errRefused = errors.New("refused")

// notify sends word of an end once. It returns when what came of it is on disk.
func (c *Calls) notify(ctx context.Context, e *entry) change {
	c.mu.Lock()
	seq := e.recordSeq
	c.mu.Unlock()
	m, err := c.journal.record(c.writes, seq)
	if other := c.unseen(e, err); other.record != nil {
		return other
	}
	if err != nil {
		c.o.Log.Error("a result cannot be read and is tried again", "call", e.id, "err", err)
		return change{again: c.o.Clock.Now().Add(5 * time.Second)}
	}
	r := m.record
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := c.o.Clock.AfterFunc(noticeTimeout, func() { cancel(errDeadline) })
	defer stop()
	err = c.send(ctx, r, m.body)
	now := c.o.Clock.Now()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	n, policy := r.Notice, Policy{}.withDefaults()
	n.Attempts++
	n.Due = time.Time{}
	switch {
	case err == nil:
		n.Sent, n.Error = true, ""
	case errors.Is(err, errRefused) || n.Attempts >= policy.Attempts:
		n.GaveUp, n.Error = true, short(err.Error())
		c.o.Log.Warn("word of a call's end cannot be delivered and is given up", "call", r.ID, "to", n.To, "err", err)
	default:
		n.Error, n.Due = short(err.Error()), now.Add(policy.wait(n.Attempts))
	}
	return c.persisted(r, frame(m.header, m.body))
}

// send delivers word of an end.
func (c *Calls) send(ctx context.Context, r *record, result []byte) error {
	to := r.OnFailure
	if r.State == Succeeded {
		to = r.OnSuccess
	}
	switch {
	case to == nil:
		return nil
	case to.Function != nil:
		return c.sendFunction(ctx, r, to, result)
	case to.Topic != "" && c.o.Topics != nil:
		id := r.ID + "." + strconv.Itoa(r.Redriven)
		return c.o.Topics.Publish(ctx, to.Bus, to.Topic, id, attributes(r), result)
	case to.URL != "" && c.o.Callbacks != nil:
		return c.sendWebhook(ctx, r, to.URL, result)
	}
	return fmt.Errorf("%w: this platform sends no word to %s any more", errRefused, to)
}

// attributes are those of the CloudEvent that tells of an end, as headers of the binary mode.
func attributes(r *record) map[string]string {
	out := map[string]string{
		"ce-specversion": "1.0", "ce-id": r.ID + "." + strconv.Itoa(r.Redriven), "ce-type": eventType + string(r.State), "ce-subject": r.ID,
		"ce-source": "/namespaces/" + r.Function.Namespace + "/functions/" + r.Function.Name,
		"ce-time":   r.Ended.UTC().Format(time.RFC3339Nano), "ce-callattempts": strconv.Itoa(r.Count),
		"content-type": cmp.Or(r.ResultType, "application/octet-stream"),
	}
	if r.Status != 0 {
		out["ce-callstatus"] = strconv.Itoa(r.Status)
	}
	if r.Trace[0] != "" {
		out["ce-traceparent"] = r.Trace[0]
	}
	if r.Trace[1] != "" {
		out["ce-tracestate"] = r.Trace[1]
	}
	return out
}

func (c *Calls) sendFunction(ctx context.Context, r *record, to *Destination, result []byte) error {
	out, err := newHTTP(ctx, http.MethodPost, c.o.HostOf(*to.Function), cmp.Or(to.Path, "/"), result)
	if err != nil {
		return err
	}
	for name, value := range attributes(r) {
		out.Header.Set(name, value)
	}
	for i, name := range []string{"Traceparent", "Tracestate"} {
		if r.Trace[i] != "" {
			out.Header.Set(name, r.Trace[i])
		}
	}
	return told(c.o.Transport.RoundTrip(out))
}

// Webhook is what a URL is sent.
type Webhook struct {
	Type      string      `json:"type"` // "call.succeeded"
	Timestamp time.Time   `json:"timestamp"`
	Data      WebhookData `json:"data"`
}

// WebhookData tells of the call. One of Body, Base64 and Omitted has the result's body: text, other bytes, or too many of them.
type WebhookData struct {
	ID          string `json:"id"`
	Function    Name   `json:"function"`
	State       State  `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Attempts    int    `json:"attempts"`
	Status      int    `json:"status,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	Body        string `json:"body,omitempty"`
	Base64      string `json:"bodyBase64,omitempty"`
	Omitted     bool   `json:"bodyOmitted,omitempty"`
}

func webhookOf(r *record, result []byte) Webhook {
	d := WebhookData{ID: r.ID, Function: r.Function, State: r.State, Reason: r.Reason, Attempts: r.Count, Status: r.Status, ContentType: r.ResultType}
	switch {
	case len(result) > noticeBody || r.Truncated:
		d.Omitted = true
	case utf8.Valid(result):
		d.Body = string(result)
	default:
		d.Base64 = base64.StdEncoding.EncodeToString(result)
	}
	return Webhook{Type: "call." + string(r.State), Timestamp: r.Ended, Data: d}
}

// sendWebhook posts as Standard Webhooks asks for. The id stays the same when it is sent again.
func (c *Calls) sendWebhook(ctx context.Context, r *record, target string, result []byte) error {
	body, err := json.Marshal(webhookOf(r, result))
	if err != nil {
		return fmt.Errorf("making the webhook: %w", err)
	}
	key, err := c.o.SigningKey(ctx, r.Function.Namespace)
	if err != nil {
		return fmt.Errorf("signing the webhook: %w", err)
	}
	hook, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		return fmt.Errorf("signing the webhook: %w", err)
	}
	id, now := r.ID+"."+strconv.Itoa(r.Redriven), c.o.Clock.Now()
	signature, err := hook.Sign(id, now, body)
	if err != nil {
		return fmt.Errorf("signing the webhook: %w", err)
	}
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	out.Header.Set("Content-Type", "application/json")
	out.Header.Set("User-Agent", "ofn-calls")
	out.Header.Set(standardwebhooks.HeaderWebhookID, id)
	out.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	out.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return told(c.o.Callbacks.RoundTrip(out))
}

// told reads whether a destination took word.
func told(resp *http.Response, err error) error {
	if err != nil {
		return fmt.Errorf("sending word: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case DefaultRetry().has(resp.StatusCode):
		return fmt.Errorf("it answered %d", resp.StatusCode)
	}
	return fmt.Errorf("%w: it answered %d", errRefused, resp.StatusCode)
}
