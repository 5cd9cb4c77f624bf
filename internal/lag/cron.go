package lag

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// clock is a trigger of type cron: so many copies from each start to the next end.
type clock struct {
	start, end cron.Schedule
	zone       *time.Location
	copies     int
	perCopy    bool
	now        func() time.Time
}

func newCron(w run.Watch, now func() time.Time) (*clock, error) {
	c := &clock{now: now, perCopy: w.MetricType != "Value"}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	var err error
	if c.start, err = parser.Parse(w.Metadata["start"]); err != nil {
		return nil, fmt.Errorf("metadata start %q: %w", w.Metadata["start"], err)
	}
	if c.end, err = parser.Parse(w.Metadata["end"]); err != nil {
		return nil, fmt.Errorf("metadata end %q: %w", w.Metadata["end"], err)
	}
	if w.Metadata["start"] == w.Metadata["end"] {
		return nil, fmt.Errorf("metadata start and end are both %q: they must differ", w.Metadata["start"])
	}
	if w.Metadata["timezone"] == "" {
		return nil, fmt.Errorf("metadata timezone is missing: give a name such as Europe/Berlin, or UTC")
	}
	if c.zone, err = time.LoadLocation(w.Metadata["timezone"]); err != nil {
		return nil, fmt.Errorf("metadata timezone: %w", err)
	}
	if c.copies, err = strconv.Atoi(w.Metadata["desiredReplicas"]); err != nil || c.copies < 1 {
		return nil, fmt.Errorf("metadata desiredReplicas %q is not a number of copies", w.Metadata["desiredReplicas"])
	}
	return c, nil
}

// poll is within a period when its end comes before the next start. A schedule that never comes ends nothing.
func (c *clock) poll(context.Context) ([]scale.Value, bool, error) {
	now := c.now().In(c.zone)
	end := c.end.Next(now)
	within := end.After(now) && !c.start.Next(now).Before(end)
	v := scale.Value{Target: 1, PerCopy: c.perCopy}
	if within {
		v.Sum = float64(c.copies)
	}
	return []scale.Value{v}, within, nil
}

func (c *clock) close() {}
