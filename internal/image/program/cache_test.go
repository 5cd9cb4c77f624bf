package program

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	synctest.Test(t, func(t *testing.T) {
		c, err := OpenCache(CacheOptions{Dir: dir, Total: 10, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		asked := map[string]int{}
		c.fetch = func(_ context.Context, of Image) (Program, error) {
			image := of.Name
			asked[image]++
			switch {
			case strings.HasPrefix(image, "shell"):
				return Program{}, notAlone("it has a shell")
			case image == "later" && asked[image] == 1:
				return Program{}, errors.New("no registry")
			}
			p := Program{File: filepath.Join(dir, image), Size: 6}
			return p, os.WriteFile(p.File, []byte("xxxxxx"), 0o600)
		}
		for _, step := range []struct {
			image string
			after time.Duration
			there bool
			asked int
		}{
			{"later", 0, false, 1}, {"later", time.Second, false, 1}, {"shell", 0, false, 1},
			{"shell", 24 * time.Hour, false, 1}, {"later", 0, true, 2}, {"too-much", 0, false, 1},
		} {
			time.Sleep(step.after)
			c.Get(Image{Name: step.image})
			synctest.Wait()
			if got := c.Get(Image{Name: step.image}); (got != nil) != step.there || asked[step.image] != step.asked {
				t.Errorf("%s after %v: %v, asked for %d times", step.image, step.after, got, asked[step.image])
			}
			synctest.Wait()
		}
		if _, err := os.Stat(filepath.Join(dir, "too-much")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what has no room is kept: %v", err)
		}
		c.Close()
	})
}
