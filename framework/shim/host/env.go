// Package host is what all contracts of the shim share: its settings, the socket it serves, the paths that never reach the program, failures
// and their log lines, the program's process, and how everything ends.
package host

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Env is the environment the shim was started with, by name.
type Env map[string]string

// ParseEnv reads lines KEY=value.
func ParseEnv(lines []string) Env {
	e := Env{}
	for _, line := range lines {
		if k, v, ok := strings.Cut(line, "="); ok {
			e[k] = v
		}
	}
	return e
}

// Child is the environment of the program: everything but what speaks of the shim's own socket, with changes over it.
func (e Env) Child(changes Env) []string {
	all := maps.Clone(e)
	for _, k := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		delete(all, k)
	}
	maps.Copy(all, changes)
	lines := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, k+"="+all[k])
	}
	return lines
}

// First is the value of the first of the names that is set, and that name.
func (e Env) First(names ...string) (value, name string) {
	for _, n := range names {
		if e[n] != "" {
			return e[n], n
		}
	}
	return "", names[0]
}

// Duration reads a time such as 500ms, 20s or 1m; a number alone is seconds. Without a value it is def.
func (e Env) Duration(name string, def time.Duration) (time.Duration, error) {
	v := strings.TrimSpace(e[name])
	if v == "" {
		return def, nil
	}
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s is %q: it must be a time such as 20s or 1m, or a number of seconds", name, v)
	}
	return d, nil
}

// Number reads a number that is not negative.
func (e Env) Number(name string, def int) (int, error) {
	v := strings.TrimSpace(e[name])
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is %q: it must be a number of 0 or more", name, v)
	}
	return n, nil
}

// Bool reads true or false.
func (e Env) Bool(name string, def bool) (bool, error) {
	v := strings.TrimSpace(e[name])
	if v == "" {
		return def, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("%s is %q: it must be true or false", name, v)
	}
	return b, nil
}

// Grace is how long running calls may take to end (OFN_GRACE).
func (e Env) Grace() (time.Duration, error) { return e.Duration("OFN_GRACE", 30*time.Second) }

// MaxBody is the most that is read into memory of one call or one answer, in bytes (OFN_MAX_BODY).
func (e Env) MaxBody() (int, error) { return e.Number("OFN_MAX_BODY", 64<<20) }

// Name is the function's, for log lines and contracts that tell it.
func (e Env) Name() string {
	if name, _ := e.First("K_SERVICE"); name != "" {
		return name
	}
	return "function"
}
