package assemble

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const key = "0123456789abcdef"

// stream asks a cache for a layer whose archive is text, and counts how often it is made.
func stream(t *testing.T, c *Cache, made *int) v1.Layer {
	t.Helper()
	l, err := c.Stream(key, func(w io.Writer) error {
		*made++
		whole, err := Layer([]File{{Path: "a", Data: []byte("text")}})
		if err != nil {
			return err
		}
		r, err := whole.Uncompressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCache(t *testing.T) {
	dir, made := t.TempDir(), 0
	c, err := OpenCache(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	first, second := stream(t, c, &made), stream(t, c, &made)
	if made != 1 || digestOf(t, first) != digestOf(t, second) {
		t.Errorf("made %d times: %s, %s", made, digestOf(t, first), digestOf(t, second))
	}
	if err := validate.Layer(second); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(filepath.Join(dir, key, "layer.tar.gz"), 3); err != nil {
		t.Fatal(err)
	}
	if third := stream(t, c, &made); made != 2 || digestOf(t, third) != digestOf(t, first) {
		t.Errorf("a damaged one was used: made %d times", made)
	}
	if _, err := c.Stream("../climb", nil); err == nil {
		t.Error("a key that is a path was taken")
	}
	if _, err := c.Stream("f"+key, func(io.Writer) error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestCacheSweeps(t *testing.T) {
	dir, made, now := t.TempDir(), 0, time.Now()
	c, err := OpenCache(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	stream(t, c, &made)
	if err := os.Mkdir(filepath.Join(dir, "new-interrupted"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 1}, {2 * unused, 0}} {
		if _, err := OpenCache(dir, now.Add(c.age)); err != nil {
			t.Fatal(err)
		}
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != c.want {
			t.Errorf("after %v: %v %v", c.age, names, err)
		}
	}
}
