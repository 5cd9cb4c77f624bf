package s3_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/s3"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

func put(t *testing.T, s *servers.ObjectStore, key, data string) {
	t.Helper()
	c, err := minio.New(s.Addr, &minio.Options{Creds: credentials.NewStaticV4(s.Key, s.Secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	if there, err := c.BucketExists(t.Context(), "bucket"); err != nil || !there {
		if err := c.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if key == "" {
		return
	}
	if data == "" {
		err = c.RemoveObject(t.Context(), "bucket", key, minio.RemoveObjectOptions{})
	} else {
		_, err = c.PutObject(t.Context(), "bucket", key, strings.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, s *servers.ObjectStore, state source.State) *sourcetest.Run {
	t.Helper()
	return sourcetest.Start(t, s3.New(state), sourcetest.Config(t, "s3", map[string]any{"endpoint": s.URL, "bucket": "bucket", "accessKey": s.Key, "secretKey": s.Secret, "prefix": "in/", "suffix": ".txt"}))
}

// listening waits until the source listens: it does so before it lists, and the list is done when it is connected.
func listening(t *testing.T, s *servers.ObjectStore, r *sourcetest.Run) {
	t.Helper()
	r.Connected()
	<-s.Listening()
}

func TestNotifications(t *testing.T) {
	s, state := servers.S3(t), source.State{Dir: t.TempDir()}
	put(t, s, "in/old.txt", "before")
	r := start(t, s, state)
	listening(t, s, r)
	put(t, s, "in/a b.txt", "hello")
	e := r.Next()
	var told struct {
		Records []struct {
			EventName string
			S3        struct{ Object struct{ Key string } }
		}
	}
	if err := json.Unmarshal(e.Data, &told); err != nil || e.Subject != "in/a b.txt" || len(told.Records) != 1 || told.Records[0].EventName != "s3:ObjectCreated:Put" || told.Records[0].S3.Object.Key != "in%2Fa+b.txt" {
		t.Fatalf("%+v %s %v", e, e.Data, err)
	}
	put(t, s, "in/a b.txt", "")
	if e := r.Next(); !strings.Contains(string(e.Data), "s3:ObjectRemoved:Delete") {
		t.Fatalf("%s", e.Data)
	}
	r.Stop()
	put(t, s, "in/meanwhile.txt", "x")
	put(t, s, "in/meanwhile.bin", "x")
	put(t, s, "out/meanwhile.txt", "x")
	r = start(t, s, state)
	for {
		if e := r.Next(); e.Subject == "in/meanwhile.txt" {
			break
		} else if e.Subject != "in/a b.txt" && e.Subject != "in/old.txt" { // the last seconds may come twice
			t.Fatalf("%+v", e)
		}
	}
}

func TestDownAtStart(t *testing.T) {
	r := sourcetest.Start(t, s3.New(source.State{Dir: t.TempDir()}), sourcetest.Config(t, "s3", map[string]any{
		"endpoint": fmt.Sprint("http://127.0.0.1:", servers.FreePort(t)), "bucket": "bucket", "accessKey": "a", "secretKey": "b",
	}))
	if err := r.Trouble(); err == nil || !strings.Contains(err.Error(), "bucket") {
		t.Fatal(err)
	}
}

// TestDropped: what comes while nobody listens is found when it listens again.
func TestDropped(t *testing.T) {
	s := servers.S3(t)
	put(t, s, "", "")
	r := start(t, s, source.State{Dir: t.TempDir()})
	listening(t, s, r)
	put(t, s, "in/1.txt", "x")
	if e := r.Next(); e.Subject != "in/1.txt" {
		t.Fatalf("%+v", e)
	}
	s.Drop()
	<-s.Listening()
	put(t, s, "in/2.txt", "x")
	for r.Next().Subject != "in/2.txt" {
	}
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{"no bucket": {}, "endpoint": {"bucket": "b", "endpoint": "minio:9000"}, "poll": {"bucket": "b", "pollInterval": "1ms"}} {
		var invalid source.Invalid
		if _, err := s3.New(source.State{})(sourcetest.Config(t, "s3", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
