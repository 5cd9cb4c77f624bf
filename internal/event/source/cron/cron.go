// Package cron makes an event at each time of a schedule, once, over restarts too: the event's id is its time, and the last one is
// kept on disk. Times that passed while nothing ran, or while the one before was not yet safe, are made up for by one event, that
// of the last of them.
package cron

import (
	"context"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.CronSpec.
type spec struct {
	Schedule string `json:"schedule"`
	TimeZone string `json:"timeZone"`
	Data     string `json:"data"`
}

// New makes the sources; state keeps their last times.
func New(state source.State) source.New {
	return func(c source.Config) (source.Source, error) {
		var s spec
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		if s.Schedule == "" {
			return nil, source.Required("schedule")
		}
		zone, err := time.LoadLocation(s.TimeZone)
		if err != nil {
			return nil, source.Invalid{Field: "timeZone", Problem: "there is no time zone " + s.TimeZone + ": use a name such as Europe/Rome"}
		}
		parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
		schedule, err := parser.Parse(s.Schedule)
		if err != nil {
			return nil, source.Invalid{Field: "schedule", Problem: err.Error() + `: use five fields, six with seconds first, or "@every 5s"`}
		}
		return &timer{id: c.Identity, schedule: schedule, zone: zone, data: []byte(s.Data), state: state}, nil
	}
}

type timer struct {
	id       source.Identity
	schedule cron.Schedule
	zone     *time.Location
	data     []byte
	state    source.State
}

// place is what is kept.
type place struct {
	Last time.Time `json:"last"`
}

const (
	lookAgain = time.Minute // the clock may be set while it waits
	skew      = time.Hour   // a last time further ahead than this is of a clock that was wrong
)

func (t *timer) Run(ctx context.Context, out source.Out) error {
	var at place
	found, err := t.state.Load(t.id, &at)
	if err != nil {
		return err
	}
	now := t.now()
	if !found || at.Last.After(now.Add(skew)) {
		at.Last = now
		if err := t.state.Save(t.id, at); err != nil {
			return err
		}
	}
	out.Connected()
	for {
		due, wait := t.due(at.Last.In(t.zone), t.now())
		if wait > 0 {
			if !sleep(ctx, min(wait, lookAgain)) {
				return nil
			}
			continue
		}
		e := t.id.Make(due.UTC().Format(time.RFC3339Nano), "", t.data, due)
		if err := out.Emit(ctx, e); err != nil {
			return source.Ended(ctx, err)
		}
		at.Last = due
		if err := t.state.Save(t.id, at); err != nil {
			return source.Ended(ctx, err)
		}
	}
}

func (t *timer) now() time.Time { return time.Now().Round(0).In(t.zone) } // without the monotonic clock, which stands still in suspension

// due is the newest time after last that has come, or how long to wait for the next.
func (t *timer) due(last, now time.Time) (time.Time, time.Duration) {
	next := t.schedule.Next(last)
	if next.IsZero() {
		return next, lookAgain // a date that never comes
	}
	if next.After(now) {
		return next, next.Sub(now)
	}
	// Looking back further and further finds the last time in few steps, however many have passed.
	for back := time.Minute; back < now.Sub(last); back *= 30 {
		if near := t.schedule.Next(now.Add(-back)); !near.IsZero() && !near.After(now) {
			next = near
			break
		}
	}
	for {
		after := t.schedule.Next(next)
		if after.IsZero() || after.After(now) {
			return next, 0
		}
		next = after
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
