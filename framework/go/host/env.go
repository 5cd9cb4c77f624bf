package host

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// FromEnv reads the settings of a server from the variables that the contract of functions names. What it returns has a log, on
// standard error, even beside an error. The port is that of FUNC_CONTEXT_V1BETA2 (triggers.http.port), FUNC_CONTEXT
// (port), PORT, in this order: some base images set PORT to a value that nobody chose, but a context is always written
// for this function.
func FromEnv(getenv func(string) string) (Config, error) {
	var level slog.LevelVar
	c := Config{MaxBody: DefaultMaxBody, Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: &level}))}
	contexts, err := readContexts(getenv)
	if err != nil {
		return c, err
	}
	c.Function = cmp.Or(getenv("FUNCTION_TARGET"), contexts.name, getenv("K_SERVICE"), DefaultFunction)
	for _, v := range []struct {
		name, text, rule string
		read             func(string) bool
	}{
		{contexts.portOf, contexts.port, "a port is a number from 1 to 65535", c.readPort},
		{"OFN_GRACE", getenv("OFN_GRACE"), "it must be a positive duration such as 25s", c.readGrace},
		{"OFN_MAX_BODY", getenv("OFN_MAX_BODY"), "it must be a number of bytes, at least 1", c.readMaxBody},
		{"OFN_CONCURRENCY", getenv("OFN_CONCURRENCY"), "it must be a number of calls, 0 for no limit", validCount},
		{"OFN_LOG_LEVEL", getenv("OFN_LOG_LEVEL"), "it must be debug, info, warn or error", func(text string) bool { return readLevel(&level, text) }},
	} {
		if v.text != "" && !v.read(v.text) {
			return c, fmt.Errorf("%s is %q: %s", v.name, v.text, v.rule)
		}
	}
	return c, nil
}

func (c *Config) readPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	c.Port = int(n)
	return err == nil && n > 0
}

func (c *Config) readGrace(text string) bool {
	d, err := time.ParseDuration(text)
	c.Grace = d
	return err == nil && d > 0
}

func (c *Config) readMaxBody(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	c.MaxBody = n
	return err == nil && n > 0
}

// validCount: Go needs no number of workers, but a value that means nothing is a mistake everywhere.
func validCount(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}

func readLevel(level *slog.LevelVar, text string) bool {
	l, ok := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[strings.ToLower(text)]
	level.Set(l)
	return ok
}

// contexts is what a server needs of the function's context.
type contexts struct {
	name   string
	port   string
	portOf string // where the port was found
}

func readContexts(getenv func(string) string) (contexts, error) {
	var v1 struct {
		Name string
		Port json.Number
	}
	var v2 struct {
		Name     string
		Triggers struct {
			HTTP struct{ Port json.Number }
		}
	}
	for _, d := range []struct {
		name string
		into any
	}{{"FUNC_CONTEXT_V1BETA2", &v2}, {"FUNC_CONTEXT", &v1}} {
		if text := getenv(d.name); text != "" {
			if err := json.Unmarshal([]byte(text), d.into); err != nil {
				return contexts{}, fmt.Errorf("reading %s: %w", d.name, err)
			}
		}
	}
	c := contexts{name: cmp.Or(v2.Name, v1.Name), port: getenv("PORT"), portOf: "PORT"}
	if p := v1.Port.String(); p != "" && p != "0" {
		c.port, c.portOf = p, "port of FUNC_CONTEXT"
	}
	if p := v2.Triggers.HTTP.Port.String(); p != "" && p != "0" {
		c.port, c.portOf = p, "triggers.http.port of FUNC_CONTEXT_V1BETA2"
	}
	return c, nil
}
