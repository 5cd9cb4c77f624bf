package servers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// ObjectStore speaks S3, and tells of changes as MinIO does (GET /BUCKET?events=...). It runs in the test, and takes any key.
type ObjectStore struct {
	Addr   string
	URL    string
	Key    string
	Secret string

	mu        sync.Mutex
	listeners map[chan []byte]string // by bucket
	listening chan struct{}          // closed while there is one
}

// S3 is an object store.
func S3(t T, _ ...Option) *ObjectStore {
	t.Helper()
	l := listen(t)
	s := &ObjectStore{Addr: l.Addr().String(), URL: "http://" + l.Addr().String(), Key: User, Secret: "secret-of-s3", listeners: map[chan []byte]string{}, listening: make(chan struct{})}
	fake := gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true), gofakes3.WithTimeSkewLimit(0)).Server()
	h := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if r.Method == http.MethodGet && key == "" && r.URL.Query().Has("events") {
			s.tell(w, r, bucket)
			return
		}
		rec := &outcome{ResponseWriter: w, status: http.StatusOK}
		fake.ServeHTTP(rec, r)
		if key == "" || rec.status >= 300 {
			return
		}
		switch {
		case r.Method == http.MethodPut && !r.URL.Query().Has("partNumber"), r.Method == http.MethodPost && r.URL.Query().Has("uploadId"):
			s.changed("s3:ObjectCreated:Put", bucket, key, r.ContentLength)
		case r.Method == http.MethodDelete:
			s.changed("s3:ObjectRemoved:Delete", bucket, key, 0)
		}
	})}
	serve(t, func() error { return h.Serve(l) }, h.Close)
	return s
}

// Drop ends the connections of those who listen to changes.
func (s *ObjectStore) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.listeners {
		close(c)
		s.forget(c)
	}
}

func (s *ObjectStore) forget(c chan []byte) {
	if _, ok := s.listeners[c]; ok {
		delete(s.listeners, c)
		if len(s.listeners) == 0 {
			s.listening = make(chan struct{})
		}
	}
}

// Listening is closed while somebody listens to changes.
func (s *ObjectStore) Listening() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening
}

func (s *ObjectStore) tell(w http.ResponseWriter, r *http.Request, bucket string) {
	c := make(chan []byte, 1024)
	s.mu.Lock()
	if len(s.listeners) == 0 {
		close(s.listening)
	}
	s.listeners[c] = bucket
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.forget(c)
		s.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	_, _ = w.Write([]byte(" "))
	_ = flusher.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case line, ok := <-c:
			if !ok {
				return
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return
			}
			_ = flusher.Flush()
		}
	}
}

func (s *ObjectStore) changed(name, bucket, key string, size int64) {
	now := time.Now().UTC()
	line, _ := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"eventVersion": "2.0", "eventSource": "minio:s3", "eventName": name, "eventTime": now.Format(time.RFC3339Nano),
		"s3": map[string]any{
			"s3SchemaVersion": "1.0", "bucket": map[string]any{"name": bucket},
			"object": map[string]any{"key": url.QueryEscape(key), "size": size, "sequencer": fmt.Sprintf("%016X", now.UnixNano())},
		},
	}}})
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, of := range s.listeners {
		if of != bucket {
			continue
		}
		select {
		case c <- line:
		default: // one that does not read is dropped, as MinIO does
		}
	}
}

type outcome struct {
	http.ResponseWriter
	status int
}

func (o *outcome) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the object store reach what the connection can do.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }
