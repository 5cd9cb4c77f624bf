package main

import (
	"bytes"
	"context"
	stdlog "log"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestLibrariesPrintToTheLog(t *testing.T) {
	flags := stdlog.Flags()
	t.Cleanup(func() {
		routeLibraries(slog.New(slog.DiscardHandler))
		stdlog.SetFlags(flags)
		stdlog.SetOutput(os.Stderr)
	})
	var out bytes.Buffer
	routeLibraries(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	stdlog.Print("from somewhere")
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	_ = c.Ping(context.Background()).Err()
	_ = c.Close()
	printed{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), "mysql"}.print().Print("busy ", "buffer")
	for _, want := range []string{"level=WARN msg=\"from somewhere\"", "level=DEBUG msg=\"busy buffer\" library=mysql"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %s", want, &out)
		}
	}
}
