package components

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/dapr/kit/logger"
)

// slogger writes what components log to the platform's log. Lines of level info are told at debug: they are about steps that
// nobody waits for, and the state of a component is in its status.
type slogger struct{ log *slog.Logger }

var _ logger.Logger = slogger{}

func (l slogger) EnableJSONOutput(bool)            {}
func (l slogger) SetAppID(string)                  {}
func (l slogger) SetOutputLevel(logger.LogLevel)   {}
func (l slogger) SetOutput(io.Writer)              {}
func (l slogger) WithLogType(string) logger.Logger { return l }

func (l slogger) WithFields(fields map[string]any) logger.Logger {
	args := make([]any, 0, 2*len(fields))
	for k, v := range fields {
		args = append(args, k, v)
	}
	return slogger{l.log.With(args...)}
}

func (l slogger) IsOutputLevelEnabled(level logger.LogLevel) bool {
	return l.log.Enabled(context.Background(), levelOf(level))
}

func levelOf(level logger.LogLevel) slog.Level {
	switch level {
	case logger.DebugLevel, logger.InfoLevel:
		return slog.LevelDebug
	case logger.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func (l slogger) print(level slog.Level, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprint(args...))
	}
}

func (l slogger) printf(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}

func (l slogger) Debug(args ...any)            { l.print(slog.LevelDebug, args) }
func (l slogger) Debugf(f string, args ...any) { l.printf(slog.LevelDebug, f, args) }
func (l slogger) Info(args ...any)             { l.print(slog.LevelDebug, args) }
func (l slogger) Infof(f string, args ...any)  { l.printf(slog.LevelDebug, f, args) }
func (l slogger) Warn(args ...any)             { l.print(slog.LevelWarn, args) }
func (l slogger) Warnf(f string, args ...any)  { l.printf(slog.LevelWarn, f, args) }
func (l slogger) Error(args ...any)            { l.print(slog.LevelError, args) }
func (l slogger) Errorf(f string, args ...any) { l.printf(slog.LevelError, f, args) }

// Fatal does not end the process: it is the platform's.
func (l slogger) Fatal(args ...any)            { l.print(slog.LevelError, args) }
func (l slogger) Fatalf(f string, args ...any) { l.printf(slog.LevelError, f, args) }
