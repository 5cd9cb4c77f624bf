package admission

import (
	"context"
	"fmt"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
)

// schedule reads the times of a cron source by the grammar of Dapr's binding: seconds may be left out.
func schedule(p *field.Path, c *events.CronSpec) field.ErrorList {
	var errs field.ErrorList
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	if _, err := parser.Parse(c.Schedule); err != nil {
		errs = append(errs, field.Invalid(p.Child("schedule"), c.Schedule, fmt.Sprintf("%v; write five fields, six with seconds first, or \"@every 5s\"", err)))
	}
	if c.TimeZone != "" {
		if _, err := parser.Parse("CRON_TZ=" + c.TimeZone + " 0 0 1 1 *"); err != nil {
			errs = append(errs, field.Invalid(p.Child("timeZone"), c.TimeZone, "is no time zone, such as Europe/Rome"))
		}
	}
	return errs
}

func (o Options) trigger(_ context.Context, t, _ *events.Trigger) ([]string, field.ErrorList) {
	return t.Validate()
}
