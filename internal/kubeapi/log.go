package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
)

// RouteKlog sends what the Kubernetes libraries log to log, one step quieter: their information is our debug, their errors, most of
// which they retry by themselves, our warnings. It changes the process, so the program calls it once, before any Start.
func RouteKlog(log *slog.Logger) {
	klog.SetLogger(logr.FromSlogHandler(quieter{log.Handler()}))
}

// quieter lowers the level of every record.
type quieter struct{ next slog.Handler }

func lower(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return min(level, slog.LevelDebug)
	}
	return slog.LevelWarn
}

func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	return q.next.Enabled(ctx, lower(level))
}

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	r.Attrs(func(a slog.Attr) bool {
		if passing(a) {
			r.Level = slog.LevelDebug
		}
		return true
	})
	if !q.next.Enabled(ctx, r.Level) {
		return nil
	}
	return q.next.Handle(ctx, r)
}

// passing recognises what needs nobody's attention: work that ended because it was told to, and what the libraries call unhandled,
// which is what they try again.
func passing(a slog.Attr) bool {
	err, isError := a.Value.Any().(error)
	return isError && errors.Is(err, context.Canceled) || a.Key == "logger" && a.Value.String() == "UnhandledError"
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler { return quieter{q.next.WithAttrs(attrs)} }
func (q quieter) WithGroup(name string) slog.Handler       { return quieter{q.next.WithGroup(name)} }

// zapCore hands etcd's log to slog, as quietly, and remembers why etcd gave up.
type zapCore struct {
	log   *slog.Logger
	state *zapState
}

type zapState struct {
	running atomic.Bool
	mu      sync.Mutex
	text    string
}

func newZapCore(log *slog.Logger) *zapCore { return &zapCore{log: log, state: &zapState{}} }

// started ends the quiet of the start, whose warnings are about etcd's own defaults and about what a new store does not have
// yet, which it tries again; what goes wrong then is returned as an error.
func (c *zapCore) started() { c.state.running.Store(true) }

func (c *zapCore) level(level zapcore.Level) slog.Level {
	if !c.state.running.Load() {
		return slog.LevelDebug
	}
	return zapLevel(level)
}

func zapLevel(level zapcore.Level) slog.Level {
	switch {
	case level >= zapcore.ErrorLevel:
		return slog.LevelError
	case level == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

// Enabled implements zapcore.Core.
func (c *zapCore) Enabled(level zapcore.Level) bool {
	return level >= zapcore.DPanicLevel || c.log.Enabled(context.Background(), c.level(level))
}

// With implements zapcore.Core.
func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{log: c.log.With(zapArgs(fields)...), state: c.state}
}

// Check implements zapcore.Core.
func (c *zapCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c *zapCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	args := zapArgs(fields)
	if entry.Level >= zapcore.DPanicLevel {
		c.state.mu.Lock()
		c.state.text = entry.Message
		for i := 0; i+1 < len(args); i += 2 {
			c.state.text += fmt.Sprintf(" (%v: %v)", args[i], args[i+1])
		}
		c.state.mu.Unlock()
	}
	c.log.Log(context.Background(), c.level(entry.Level), "etcd: "+entry.Message, args...)
	return nil
}

// Sync implements zapcore.Core.
func (c *zapCore) Sync() error { return nil }

// lastFatal is the last reason etcd logged before it panicked with the given one.
func (c *zapCore) lastFatal(reason any) string {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	if c.state.text == "" {
		return fmt.Sprint(reason)
	}
	return c.state.text
}

func zapArgs(fields []zapcore.Field) []any {
	encoded := zapcore.NewMapObjectEncoder()
	args := make([]any, 0, 2*len(fields))
	for _, field := range fields {
		field.AddTo(encoded)
		if value, ok := encoded.Fields[field.Key]; ok {
			args = append(args, field.Key, value)
		}
	}
	return args
}

// panicHook replaces etcd's exit of the whole process by a panic that the caller turns into an error.
type panicHook struct{}

// OnWrite implements zapcore.CheckWriteHook.
func (panicHook) OnWrite(entry *zapcore.CheckedEntry, _ []zapcore.Field) { panic(entry.Message) }
