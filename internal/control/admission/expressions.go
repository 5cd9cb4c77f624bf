package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/event/trigger"
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

// trigger compiles every expression, so that none can fail for its form when an event comes.
func (o Options) trigger(_ context.Context, t, _ *events.Trigger) ([]string, field.ErrorList) {
	warnings, errs := t.Validate()
	if len(errs) > 0 {
		return warnings, errs
	}
	spec := field.NewPath("spec")
	names := slices.Sorted(maps.Keys(t.Spec.Inputs))
	used := map[string]bool{}
	for _, name := range names {
		if in := t.Spec.Inputs[name]; in != nil {
			_, err := trigger.ParseFilter(in.Filter)
			errs = append(errs, invalid(spec.Child("inputs").Key(name).Child("filter"), in.Filter, err)...)
		}
	}
	for i, s := range t.Spec.Subscribers {
		if s == nil {
			continue
		}
		p := spec.Child("subscribers").Index(i)
		condition, err := trigger.Compile(names, s.Condition)
		errs = append(errs, invalid(p.Child("condition"), s.Condition, err)...)
		if err == nil {
			for _, name := range condition.Inputs() {
				used[name] = true
			}
		}
		errs = append(errs, subscriber(p, s)...)
	}
	if len(errs) == 0 {
		warnings = append(warnings, unnamed(spec, t, names, used)...)
	}
	return warnings, errs
}

func subscriber(p *field.Path, s *events.Subscriber) field.ErrorList {
	_, err := trigger.ParseFilter(s.Filter)
	errs := invalid(p.Child("filter"), s.Filter, err)
	if s.Correlate != nil {
		_, err := trigger.CompileKey(s.Correlate.Key)
		errs = append(errs, invalid(p.Child("correlate", "key"), s.Correlate.Key, err)...)
	}
	if s.Transform != nil {
		text, err := json.Marshal(s.Transform)
		if err == nil {
			_, err = trigger.CompileTransform(text)
		}
		errs = append(errs, invalid(p.Child("transform"), field.OmitValueType{}, err)...)
	}
	return errs
}

// unnamed warns of inputs that no condition names, where all have one: such an input brings nothing about.
func unnamed(spec *field.Path, t *events.Trigger, names []string, used map[string]bool) []string {
	for _, s := range t.Spec.Subscribers {
		if s != nil && s.Condition == "" {
			return nil // it gets the events of all inputs
		}
	}
	var out []string
	for _, name := range names {
		if !used[name] {
			out = append(out, fmt.Sprintf("%s: no condition names it", spec.Child("inputs").Key(name)))
		}
	}
	return out
}

func invalid(p *field.Path, value any, err error) field.ErrorList {
	if err == nil {
		return nil
	}
	return field.ErrorList{field.Invalid(p, value, err.Error())}
}
