package calls

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// State is where a call stands.
type State string

// The states of a call. The last four are ends.
const (
	Scheduled    State = "scheduled"     // waits for its time
	Queued       State = "queued"        // may begin
	Running      State = "running"       // an attempt is under way
	Retrying     State = "retrying"      // an attempt failed, the next one waits for its time
	Succeeded    State = "succeeded"     // the answer was below 400
	Failed       State = "failed"        // the answer is one that is not tried again
	Cancelled    State = "cancelled"     // by somebody
	DeadLettered State = "dead-lettered" // its attempts or its age came to their end
)

// Ended tells whether a state is an end.
func (s State) Ended() bool {
	return s == Succeeded || s == Failed || s == Cancelled || s == DeadLettered
}

// ParseState refuses what is no state.
func ParseState(s string) (State, error) {
	switch st := State(s); st {
	case Scheduled, Queued, Running, Retrying, Succeeded, Failed, Cancelled, DeadLettered:
		return st, nil
	}
	return "", invalid("%q is no state of a call", s)
}

// Attempt is one try. Status is 0 when there was no answer.
type Attempt struct {
	Number  int       `json:"number"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Status  int       `json:"status,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// Notice is word of the end of a call to its destination.
type Notice struct {
	To       string    `json:"to"`
	Attempts int       `json:"attempts"`
	Sent     bool      `json:"sent"`
	GaveUp   bool      `json:"gaveUp,omitempty"`
	Error    string    `json:"error,omitempty"` // of the last attempt
	Due      time.Time `json:"due,omitzero"`
}

// Info is everything that is told of a call but its body and its result's.
type Info struct {
	ID         string       `json:"id"`
	Function   Name         `json:"function"`
	Host       string       `json:"host"`
	Method     string       `json:"method"`
	Path       string       `json:"path"`
	State      State        `json:"state"`
	Reason     string       `json:"reason,omitempty"` // why it is not a success
	Accepted   time.Time    `json:"accepted"`
	NotBefore  time.Time    `json:"notBefore,omitzero"`
	Expires    time.Time    `json:"expires,omitzero"`
	Due        time.Time    `json:"due,omitzero"` // of the next attempt
	Ended      time.Time    `json:"ended,omitzero"`
	Policy     Policy       `json:"policy"`
	Deadline   Duration     `json:"deadline,omitempty"`
	Count      int          `json:"attempts"`
	Attempts   []Attempt    `json:"history,omitempty"` // the newest maxHistory of them
	Redriven   int          `json:"redriven,omitempty"`
	Status     int          `json:"status,omitempty"` // of the result
	Size       int          `json:"size,omitempty"`   // of the result's body, in bytes
	Truncated  bool         `json:"truncated,omitempty"`
	OnSuccess  *Destination `json:"onSuccess,omitempty"`
	OnFailure  *Destination `json:"onFailure,omitempty"`
	Notice     *Notice      `json:"notice,omitempty"`
	Replayable bool         `json:"replayable,omitempty"` // Redrive can begin it again: it did not succeed, and its request is kept
}

// Duration is a time.Duration that JSON shows as "1m30s".
type Duration time.Duration

// MarshalJSON gives Go's form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads Go's form.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// maxHistory bounds the attempts that a record keeps.
const maxHistory = 16

// record is what is on disk of a call's state, beside the body of its result.
type record struct {
	Info
	// Begun and Interrupted count the attempts since the call was accepted or redriven, and those of them that the end of
	// the platform cut off.
	Begun       int       `json:"begun"`
	Interrupted int       `json:"interrupted,omitempty"`
	MaxAge      Duration  `json:"maxAge,omitempty"`
	KeyHash     string    `json:"key,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	ResultType  string    `json:"resultType,omitempty"` // of content
	Trace       [2]string `json:"trace,omitzero"`       // traceparent and tracestate of the caller
}

// begin notes a new attempt.
func (r *record) begin(now time.Time) {
	r.Count++
	r.Begun++
	r.State, r.Due = Running, time.Time{}
	r.Attempts = append(r.Attempts, Attempt{Number: r.Count, Started: now})
	if n := len(r.Attempts); n > maxHistory {
		r.Attempts = r.Attempts[n-maxHistory:]
	}
}

// over notes how the attempt under way ended.
func (r *record) over(now time.Time, status int, problem string) {
	if len(r.Attempts) == 0 {
		return
	}
	a := &r.Attempts[len(r.Attempts)-1]
	a.Ended, a.Status, a.Error = now, status, short(problem)
}

// interrupted notes that the platform ended during the attempt under way.
func (r *record) interrupted(now time.Time) {
	r.over(now, 0, "interrupted: the platform ended")
	r.Interrupted++
	r.State, r.Due = Retrying, now
}

// end makes the state one of the ends.
func (r *record) end(now time.Time, s State, reason string) {
	r.State, r.Reason, r.Ended, r.Due = s, short(reason), now, time.Time{}
	to := r.OnFailure
	if s == Succeeded {
		to = r.OnSuccess
	}
	r.Notice = nil
	if to != nil && s != Cancelled {
		r.Notice = &Notice{To: to.String(), Due: now}
	}
}

// exhausted tells whether the attempts of the policy were made.
func (r *record) exhausted() bool { return r.Begun-r.Interrupted >= r.Policy.Attempts }

// expired tells whether the call is too old to be begun.
func (r *record) expired(now time.Time) bool { return !r.Expires.IsZero() && now.After(r.Expires) }

// encode is for the header of a message, which has at most 64 KiB.
func encode(r *record) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return "", fmt.Errorf("writing the record of a call: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// short bounds what is kept of an error.
func short(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
