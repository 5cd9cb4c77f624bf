package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/s3"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
)

// A listing is in the order of keys: an end between a newer object and an older one must not lose the older.
func TestEndWithinAListing(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Has("events"):
			w.WriteHeader(http.StatusNotImplemented)
		case r.Method == http.MethodGet:
			fmt.Fprint(w, "<ListBucketResult><IsTruncated>false</IsTruncated>")
			for key, ago := range map[string]time.Duration{"a": time.Minute, "b": 10 * time.Minute} {
				fmt.Fprintf(w, "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>e</ETag><Size>1</Size></Contents>", key, now.Add(-ago).Format("2006-01-02T15:04:05.000Z"))
			}
			fmt.Fprint(w, "</ListBucketResult>")
		}
	}))
	defer server.Close()
	config := sourcetest.Config(t, "s3", map[string]any{"endpoint": server.URL, "bucket": "bucket", "region": "x", "accessKey": "k", "secretKey": "s", "events": []string{"s3:ObjectCreated:*"}})
	state := source.State{Dir: t.TempDir()}
	if err := state.Save(config.Identity, map[string]any{"last": now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	run := func(take func(key string) bool) (told []string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		made, err := s3.New(state)(config)
		if err != nil {
			t.Fatal(err)
		}
		safe := make(chan string, 10)
		_ = made.Run(ctx, source.Out{Connected: func() { cancel() }, Trouble: func(error) {}, Emit: func(_ context.Context, e cloudevent.Event) error {
			if !take(e.Subject) {
				return errors.New("not safe")
			}
			safe <- e.Subject
			return nil
		}})
		close(safe)
		for key := range safe {
			told = append(told, key)
		}
		return told
	}
	for range 5 { // the order of the server's answer changes
		run(func(key string) bool { return key == "a" })
	}
	if told := run(func(string) bool { return true }); len(told) != 2 {
		t.Fatalf("told of %q: an object was forgotten", told)
	}
	if told := run(func(string) bool { return true }); len(told) != 1 || told[0] != "a" {
		t.Errorf("told of %q again: at most what is as new as the last", told)
	}
}
