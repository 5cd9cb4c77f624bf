package cloudevent_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// The bindings of HTTP and NATS encode what headers cannot carry; those of Kafka and AMQP carry values as they are.
func TestEncodingIsThatOfTheBinding(t *testing.T) {
	for prefix, want := range map[string]string{"ce-": "a%b", "ce_": "a%25b", "cloudEvents:": "a%25b", "cloudEvents_": "a%25b"} {
		e, found, err := cloudevent.FromHeader(map[string]string{
			prefix + "specversion": "1.0", prefix + "id": "1", prefix + "source": "/s", prefix + "type": "t", prefix + "subject": "a%25b"}, nil)
		if !found || err != nil || e.Subject != want {
			t.Errorf("%s: subject %q, %v, want %q", prefix, e.Subject, err, want)
		}
	}
	for given, want := range map[string]string{`"a b"`: "a b", `"a\"%20\\b"`: `a" \b`, `"`: `"`, `a"b`: `a"b`, `""`: ""} {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Ce-Subject": {given}}
		if got, _, err := cloudevent.FromHTTP(h, nil); err != nil || got[0].Subject != want {
			t.Errorf("%s: %+v %v", given, got, err)
		}
	}
}

func TestWhatTheSpecificationForbids(t *testing.T) {
	h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Ce-Data": {"x"}}
	if _, _, err := cloudevent.FromHTTP(h, []byte("y")); !errors.Is(err, cloudevent.ErrInvalid) {
		t.Errorf("an attribute named data: %v", err)
	}
	for body, ok := range map[string]bool{"[]": true, "null": false, "{}": false} {
		_, found, err := cloudevent.FromHTTP(http.Header{"Content-Type": {cloudevent.BatchMediaType}}, []byte(body))
		if !found || (err == nil) != ok {
			t.Errorf("batch %s: %v", body, err)
		}
	}
}
