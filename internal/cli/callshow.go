package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// callStates are those that --state takes.
var callStates = []string{"scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled", "dead-lettered"} //nolint:gochecknoglobals // a constant

// listedCall is a call as lists show it.
type listedCall struct {
	ID       string                `json:"id"`
	Function struct{ Name string } `json:"function"`
	Method   string                `json:"method"`
	Path     string                `json:"path"`
	State    string                `json:"state"`
	Reason   string                `json:"reason"`
	Accepted time.Time             `json:"accepted"`
	Ended    time.Time             `json:"ended"`
	Due      time.Time             `json:"due"`
	Attempts int                   `json:"attempts"`
	Status   int                   `json:"status"`
	History  []listedAttempt       `json:"history"`
	Notice   *struct {
		To       string
		Sent     bool
		GaveUp   bool
		Attempts int
		Error    string
	} `json:"notice"`
	Replayable bool `json:"replayable"`
}

type listedAttempt struct {
	Number         int
	Started, Ended time.Time
	Status         int
	Error          string
}

func callTable(out io.Writer, calls []listedCall, wide bool, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	head := "ID\tFUNCTION\tSTATE\tATTEMPTS\tSTATUS\tAGE"
	if wide {
		head += "\tREQUEST\tNEXT\tREASON"
	}
	fmt.Fprintln(w, head)
	for _, c := range calls {
		fmt.Fprintln(w, strings.Join(c.cells(wide, now), "\t"))
	}
}

func (c *listedCall) cells(wide bool, now time.Time) []string {
	status := "-"
	if c.Status != 0 {
		status = strconv.Itoa(c.Status)
	}
	cells := []string{c.ID, c.Function.Name, c.State, strconv.Itoa(c.Attempts), status, duration.HumanDuration(now.Sub(c.Accepted))}
	if !wide {
		return cells
	}
	next := "-"
	if !c.Due.IsZero() {
		next = "in " + duration.HumanDuration(c.Due.Sub(now))
	}
	return append(cells, c.Method+" "+c.Path, next, orDash(c.Reason))
}

func (c *listedCall) describe(out io.Writer, now time.Time) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("ID:", "%s", c.ID)
	row("Function:", "%s", c.Function.Name)
	row("Request:", "%s %s", c.Method, c.Path)
	row("State:", "%s", c.State)
	if c.Reason != "" {
		row("Reason:", "%s", c.Reason)
	}
	row("Accepted:", "%s ago", duration.HumanDuration(now.Sub(c.Accepted)))
	if !c.Due.IsZero() && c.Due.After(now) {
		row("Next attempt:", "in %s", duration.HumanDuration(c.Due.Sub(now)))
	}
	if !c.Ended.IsZero() {
		row("Ended:", "%s ago", duration.HumanDuration(now.Sub(c.Ended)))
	}
	if c.Status != 0 {
		row("Result:", "%d", c.Status)
	}
	if n := c.Notice; n != nil {
		row("Word to:", "%s: %s", n.To, noticeState(n.Sent, n.GaveUp, n.Error))
	}
	w.Flush()
	if len(c.History) > 0 {
		fmt.Fprintln(out, "\nAttempts:")
		for _, t := range c.History {
			took := "under way"
			if !t.Ended.IsZero() {
				took = t.Ended.Sub(t.Started).Round(time.Millisecond).String()
			}
			fmt.Fprintf(w, "  %d\t%s ago\t%s\t%s\n", t.Number, duration.HumanDuration(now.Sub(t.Started)), took, orDash(strings.TrimSpace(strings.TrimPrefix(fmt.Sprint(t.Status), "0")+" "+t.Error)))
		}
		w.Flush()
	}
	switch {
	case c.Replayable:
		fmt.Fprintf(out, "\nRun it again with `ofn calls redrive %s`.\n", c.ID)
	case c.State == "succeeded":
		fmt.Fprintf(out, "\nRead the result with `ofn calls result %s`.\n", c.ID)
	}
}

func noticeState(sent, gaveUp bool, problem string) string {
	switch {
	case sent:
		return "delivered"
	case gaveUp:
		return "given up: " + problem
	case problem != "":
		return "tried again after: " + problem
	}
	return "under way"
}
