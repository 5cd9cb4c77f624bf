package scale_test

import (
	"testing"

	"github.com/openfunction/ofn/internal/scale"
)

func TestJobs(t *testing.T) {
	for name, c := range map[string]struct {
		policy           scale.JobPolicy
		part             string
		readings         []scale.Reading
		running, pending int
		want             int
	}{
		"nothing waits":              {want: 0, readings: []scale.Reading{queue(0)}},
		"one for each ten":           {readings: []scale.Reading{queue(35)}, want: 4},
		"less those running":         {readings: []scale.Reading{queue(35)}, running: 3, want: 1},
		"enough are running":         {readings: []scale.Reading{queue(35)}, running: 4},
		"at most max":                {policy: scale.JobPolicy{Max: 3}, readings: []scale.Reading{queue(1000)}, want: 3},
		"the minimum without work":   {policy: scale.JobPolicy{Min: 2}, readings: []scale.Reading{queue(0)}, running: 1, want: 1},
		"beyond the minimum":         {policy: scale.JobPolicy{Min: 2}, readings: []scale.Reading{queue(30)}, running: 2, want: 3},
		"custom":                     {policy: scale.JobPolicy{Strategy: "custom", Deduction: 1}, part: "0.5", readings: []scale.Reading{queue(100)}, running: 4, want: 7},
		"custom without a number":    {policy: scale.JobPolicy{Strategy: "custom", Deduction: 1}, part: "half", readings: []scale.Reading{queue(100)}, running: 4, want: 6},
		"accurate":                   {policy: scale.JobPolicy{Strategy: "accurate"}, readings: []scale.Reading{queue(50)}, running: 4, pending: 2, want: 3},
		"accurate, at the limit":     {policy: scale.JobPolicy{Strategy: "accurate", Max: 6}, readings: []scale.Reading{queue(50)}, running: 4, want: 2},
		"eager":                      {policy: scale.JobPolicy{Strategy: "eager", Max: 10}, readings: []scale.Reading{queue(60)}, running: 3, pending: 1, want: 6},
		"eager, at the limit":        {policy: scale.JobPolicy{Strategy: "eager", Max: 10}, readings: []scale.Reading{queue(600)}, running: 6, pending: 2, want: 2},
		"the largest of several":     {readings: []scale.Reading{queue(20), queue(50)}, want: 5},
		"the smallest of several":    {policy: scale.JobPolicy{Combine: "min"}, readings: []scale.Reading{queue(20), queue(50), queue(0)}, want: 2},
		"the mean of several":        {policy: scale.JobPolicy{Combine: "avg"}, readings: []scale.Reading{queue(20), queue(50)}, want: 4},
		"the sum of several":         {policy: scale.JobPolicy{Combine: "sum"}, readings: []scale.Reading{queue(20), queue(50)}, want: 7},
		"one of them cannot be read": {readings: []scale.Reading{down(), queue(50)}, want: 5},
		"never more than max in all": {policy: scale.JobPolicy{Max: 5, Strategy: "custom"}, part: "0", readings: []scale.Reading{queue(500)}, running: 4, want: 1},
	} {
		p, err := scale.NewJobPolicy(c.policy, c.part)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := p.Jobs(c.readings, c.running, c.pending); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestJobPolicyRefusals(t *testing.T) {
	for _, p := range []scale.JobPolicy{{Min: -1}, {Min: 2, Max: 1}, {Strategy: "x"}, {Combine: "x"}} {
		if _, err := scale.NewJobPolicy(p, ""); err == nil {
			t.Errorf("%+v: no error", p)
		}
	}
}
