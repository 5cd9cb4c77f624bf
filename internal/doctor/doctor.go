// Package doctor judges whether a machine can run the platform, from facts that somebody else gathered, and says what to do.
package doctor

import (
	"fmt"
	"io"
)

// Level is how bad a finding is.
type Level string

// The levels, from good to bad.
const (
	OK   Level = "ok"
	Warn Level = "warn" // something is missing that not everybody needs
	Fail Level = "fail" // the platform will not work
)

// Finding is the result of one check.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // empty when there is nothing to do
}

// Report is all findings.
type Report []Finding

// Examine judges the facts, one finding a check, or several where several things can be wrong.
func Examine(f Facts) Report {
	var r Report
	for _, check := range []func(Facts) []Finding{
		system, sandboxed, namespaces, userNamespaces, groups, overlay, seccomp, // can it run functions
		toolchain, git, proxy, languages, scaling, // can it build them, and scale them on events
		dataDir, ports, api, // is there room for the platform, or does it run
		clock, names,
	} {
		r = append(r, check(f)...)
	}
	return r
}

// Worst is the worst level of all findings.
func (r Report) Worst() Level {
	worst := OK
	for _, f := range r {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}

// Print writes a line for each finding, and one more for what to do about it.
func (r Report) Print(w io.Writer) {
	width := 0
	for _, f := range r {
		width = max(width, len(f.Check))
	}
	for _, f := range r {
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Level, width, f.Check, f.Says)
		if f.Do != "" {
			fmt.Fprintf(w, "%*s-> %s\n", width+8, "", f.Do)
		}
	}
	if r.Worst() == OK {
		fmt.Fprintln(w, "everything is in order")
		return
	}
	fmt.Fprintf(w, "%d failed, %d to be aware of\n", r.count(Fail), r.count(Warn))
}

func (r Report) count(l Level) int {
	n := 0
	for _, f := range r {
		if f.Level == l {
			n++
		}
	}
	return n
}

func one(check string, l Level, do, format string, args ...any) []Finding {
	return []Finding{{Check: check, Level: l, Says: fmt.Sprintf(format, args...), Do: do}}
}
