package main

import "github.com/spf13/pflag"

// logSettings say what is logged, and how.
type logSettings struct{ logLevel, logFormat string }

func (s *logSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "", "text or json (default: text on a terminal)")
}
