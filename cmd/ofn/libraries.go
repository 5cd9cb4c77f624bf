package main

import (
	"context"
	"fmt"
	stdlog "log"
	"log/slog"

	redisv8 "github.com/go-redis/redis/v8"
	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

// routeLibraries gives the log what libraries would print to the standard error by themselves. What they say of a connection is told
// by the component or source whose connection it is, so theirs is for debugging. Those of Kafka, MQTT, AMQP and NATS print nothing.
func routeLibraries(log *slog.Logger) {
	redis.SetLogger(printed{log, "redis"})
	redisv8.SetLogger(printed{log, "redis"})
	_ = mysql.SetLogger(printed{log, "mysql"}.print()) // an error is that there is no logger
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelWarn).Writer())
}

// printed is what a library prints.
type printed struct {
	log     *slog.Logger
	library string
}

// Printf implements the loggers of go-redis.
func (p printed) Printf(ctx context.Context, format string, args ...any) {
	p.log.DebugContext(ctx, fmt.Sprintf(format, args...), "library", p.library)
}

// printer is a mysql.Logger.
type printer func(...any)

// Print implements mysql.Logger.
func (f printer) Print(args ...any) { f(args...) }

func (p printed) print() printer {
	return func(args ...any) { p.log.Debug(fmt.Sprint(args...), "library", p.library) }
}
