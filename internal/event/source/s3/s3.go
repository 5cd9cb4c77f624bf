// Package s3 makes events of objects that come to and go from a bucket. Servers that notify (MinIO) are listened to; the bucket is
// listed at the start, after trouble and now and then, so that what came meanwhile is told too. Other servers are listed only:
// what goes is not seen there.
package s3

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/notification"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.S3Spec.
type spec struct {
	Endpoint     string   `json:"endpoint"`
	Region       string   `json:"region"`
	Bucket       string   `json:"bucket"`
	Prefix       string   `json:"prefix"`
	Suffix       string   `json:"suffix"`
	Events       []string `json:"events"`
	AccessKey    string   `json:"accessKey"`
	SecretKey    string   `json:"secretKey"`
	PathStyle    *bool    `json:"pathStyle"`
	PollInterval string   `json:"pollInterval"`
}

const (
	window   = 64
	relist   = time.Minute     // while notifications flow
	overlap  = 2 * time.Second // listings have whole seconds
	saveOnce = time.Second
)

// New makes the sources; state keeps how far they are.
func New(state source.State) source.New {
	return func(c source.Config) (source.Source, error) {
		s := spec{Endpoint: "https://s3.amazonaws.com", Region: "us-east-1", Events: []string{"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}}
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		u, err := url.Parse(s.Endpoint)
		switch {
		case s.Bucket == "":
			return nil, source.Required("bucket")
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return nil, source.Invalid{Field: "endpoint", Problem: "it must be like http://minio:9000"}
		}
		b := &bucket{id: c.Identity, spec: s, state: state, poll: 10 * time.Second, recent: map[string]time.Time{}}
		if s.PollInterval != "" {
			if b.poll, err = time.ParseDuration(s.PollInterval); err != nil || b.poll < time.Second {
				return nil, source.Invalid{Field: "pollInterval", Problem: "it must be a duration of 1s or more"}
			}
		}
		o := &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: u.Scheme == "https", Region: s.Region, MaxRetries: 1}
		if s.AccessKey == "" {
			o.Creds = credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
		}
		if s.PathStyle != nil {
			o.BucketLookup = minio.BucketLookupDNS
			if *s.PathStyle {
				o.BucketLookup = minio.BucketLookupPath
			}
		}
		if b.client, err = minio.New(u.Host, o); err != nil {
			return nil, source.Invalid{Field: "endpoint", Problem: err.Error()}
		}
		return b, nil
	}
}

type bucket struct {
	id     source.Identity
	spec   spec
	state  source.State
	client *minio.Client
	poll   time.Duration

	mu     sync.Mutex
	at     place
	newest time.Time // that was told of; at follows it when nothing of a listing is under way
	listed int       // of listings, what is not safe yet, and the listing itself: it is in the order of keys, not of times
	saved  time.Time
	recent map[string]time.Time // objects told of lately, by key
}

// place is what is kept: the newest time of the server's own clock that was seen.
type place struct {
	Last time.Time `json:"last"`
}

func (b *bucket) Run(ctx context.Context, out source.Out) error {
	found, err := b.state.Load(b.id, &b.at)
	if err != nil {
		return err
	}
	there, err := b.client.BucketExists(ctx, b.spec.Bucket)
	if err != nil {
		return source.Ended(ctx, denied(fmt.Errorf("looking for bucket %s: %w", b.spec.Bucket, err)))
	}
	if !there {
		return fmt.Errorf("there is no bucket %s at %s", b.spec.Bucket, b.spec.Endpoint)
	}
	if !found {
		b.at.Last = time.Now()
		if err := b.state.Save(b.id, b.at); err != nil {
			return err
		}
	}
	w := source.NewWindow(ctx, window, out.Emit)
	err = b.watch(ctx, w, out, !found)
	if closed := w.Close(); err == nil {
		err = closed
	}
	b.keep(true, out)
	return source.Ended(ctx, denied(err))
}

func denied(err error) error {
	if err == nil {
		return nil
	}
	if code := minio.ToErrorResponse(err).StatusCode; code == http.StatusForbidden || code == http.StatusUnauthorized {
		return fmt.Errorf("%w: %w", source.ErrDenied, err)
	}
	return err
}

func (b *bucket) watch(ctx context.Context, w *source.Window, out source.Out, first bool) error {
	ctx, cancel := context.WithCancel(ctx)
	told := b.client.ListenBucketNotification(ctx, b.spec.Bucket, b.spec.Prefix, b.spec.Suffix, b.spec.Events)
	defer cancel() // the client's goroutine ends by itself then, after the pause that it may be in
	if err := b.list(ctx, w, out, first); err != nil {
		return err
	}
	out.Connected()
	every := relist
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case info, ok := <-told:
			switch {
			case !ok:
				told = nil
				every = b.poll
				timer.Reset(every)
			case info.Err != nil:
				if notOffered(info.Err) {
					break // the channel ends now
				}
				return fmt.Errorf("listening to bucket %s: %w", b.spec.Bucket, info.Err)
			default:
				if err := b.notified(w, info, out); err != nil {
					return err
				}
			}
		case <-timer.C:
			if err := b.list(ctx, w, out, false); err != nil {
				return err
			}
			timer.Reset(every)
		}
	}
}

// notOffered tells of servers that do not notify.
func notOffered(err error) bool {
	r := minio.ToErrorResponse(err)
	return r.Code == "APINotSupported" || r.Code == "NotImplemented" || r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusBadRequest || r.StatusCode == http.StatusMethodNotAllowed
}

func (b *bucket) notified(w *source.Window, info notification.Info, out source.Out) error {
	for _, r := range info.Records {
		at, err := time.Parse(time.RFC3339Nano, r.EventTime)
		if err != nil {
			at = time.Now()
		}
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			key = r.S3.Object.Key
		}
		data, err := json.Marshal(map[string]any{"Records": []any{r}})
		if err != nil {
			return fmt.Errorf("reading a notification: %w", err)
		}
		e := b.event(source.Hash(r.EventName, key, r.S3.Object.VersionID, r.S3.Object.Sequencer, r.EventTime), key, data, at)
		if err := b.add(w, e, key, at, func() { b.past(at, 0, out) }); err != nil {
			return err
		}
	}
	return nil
}

// list tells of objects that are newer than what was seen; the first time of all it only looks at what is there.
func (b *bucket) list(ctx context.Context, w *source.Window, out source.Out, first bool) error {
	since := b.prune()
	if !slices.ContainsFunc(b.spec.Events, func(e string) bool { return strings.HasPrefix(e, "s3:ObjectCreated:") }) {
		return nil
	}
	b.mu.Lock()
	b.listed++ // a listing that fails is never done: the next run begins where this one did
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	objects := b.client.ListObjects(ctx, b.spec.Bucket, minio.ListObjectsOptions{Prefix: b.spec.Prefix, Recursive: true})
	defer func() {
		cancel()
		for range objects { // until its goroutine has ended
		}
	}()
	for o := range objects {
		if o.Err != nil {
			return fmt.Errorf("listing bucket %s: %w", b.spec.Bucket, o.Err)
		}
		if !strings.HasSuffix(o.Key, b.spec.Suffix) || o.LastModified.Before(since) || b.told(o) {
			continue
		}
		if first {
			b.mu.Lock()
			b.recent[o.Key] = o.LastModified
			b.mu.Unlock()
			continue
		}
		data, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
			"eventVersion": "2.0", "eventSource": "ofn:s3", "eventName": "s3:ObjectCreated:Put", "eventTime": o.LastModified.UTC().Format(time.RFC3339Nano), "awsRegion": b.spec.Region,
			"s3": map[string]any{"s3SchemaVersion": "1.0", "bucket": map[string]any{"name": b.spec.Bucket}, "object": map[string]any{"key": url.QueryEscape(o.Key), "size": o.Size, "eTag": o.ETag}},
		}}})
		if err != nil {
			return fmt.Errorf("telling of an object: %w", err)
		}
		e := b.event(source.Hash("listed", o.Key, o.ETag, o.LastModified.UTC().String()), o.Key, data, o.LastModified)
		b.mu.Lock()
		b.listed++
		b.mu.Unlock()
		err = b.add(w, e, o.Key, o.LastModified, func() { b.past(o.LastModified, 1, out) })
		if err != nil {
			return err
		}
	}
	b.past(time.Time{}, 1, out)
	return nil
}

// prune forgets the objects that are too old to be told of again, and tells how old those may be that are listed.
func (b *bucket) prune() (since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	since = b.at.Last.Add(-overlap)
	for key, at := range b.recent {
		if at.Before(since.Add(-overlap)) {
			delete(b.recent, key)
		}
	}
	return since
}

// told tells whether an object, as it is now, is known already.
func (b *bucket) told(o minio.ObjectInfo) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.recent[o.Key]
	return ok && !o.LastModified.Truncate(time.Second).After(at)
}

func (b *bucket) event(id, key string, data []byte, at time.Time) cloudevent.Event {
	e := b.id.Make(id, "application/json", data, at)
	e.Subject = key
	e.SetExtension(cloudevent.PartitionKey, key)
	if e.Validate() != nil {
		e.Subject = url.PathEscape(key)
		e.SetExtension(cloudevent.PartitionKey, source.Hash(key))
	}
	return e
}

// add tells of an object; safe is called when that is safe.
func (b *bucket) add(w *source.Window, e cloudevent.Event, key string, at time.Time, safe func()) error {
	b.mu.Lock()
	if at.After(b.recent[key]) {
		b.recent[key] = at
	}
	b.mu.Unlock()
	return w.Add(e, safe)
}

// past notes that everything up to a time is safe, and how much of listings was.
func (b *bucket) past(at time.Time, listed int, out source.Out) {
	b.mu.Lock()
	if at.After(b.newest) {
		b.newest = at
	}
	if b.listed -= listed; b.listed == 0 && b.newest.After(b.at.Last) {
		b.at.Last = b.newest
	}
	b.mu.Unlock()
	b.keep(false, out)
}

// keep writes down how far it is; what came after that is told again after a crash.
func (b *bucket) keep(now bool, out source.Out) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !now && time.Since(b.saved) < saveOnce {
		return
	}
	b.saved = time.Now()
	if err := b.state.Save(b.id, b.at); err != nil {
		out.Trouble(err)
	}
}
