package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// latestName stands for the latest ready revision on the command line.
const latestName = "latest"

// division is what the arguments and flags of traffic say.
type division struct {
	shares []string // "REVISION=PERCENT"
	tags   []string // "TAG=REVISION"
	untag  []string
	latest bool
}

func (d *division) empty() bool {
	return len(d.shares) == 0 && len(d.tags) == 0 && len(d.untag) == 0 && !d.latest
}

func (a *app) trafficCommand() *cobra.Command {
	var d division
	var output string
	cmd := &cobra.Command{
		Use:   "traffic NAME [REVISION=PERCENT...]",
		Short: "Show or set which revisions take which share of the traffic",
		Long: `Show or set which revisions take which share of the traffic.

The percents must add up to 100; where one is missing the latest ready revision, written "latest", takes the rest. A tag
gives a revision a host of its own, whatever share it has. --latest sends everything to the latest ready revision, also
when a new one comes, and keeps the tags.`,
		Example: `  ofn traffic hello
  ofn traffic hello hello-00003=10 hello-00002=90
  ofn traffic hello hello-00002=90          # the rest to the latest
  ofn traffic hello --tag canary=hello-00003
  ofn traffic hello --latest`,
		Args: atLeastOne,
	}
	f := cmd.Flags()
	f.StringSliceVar(&d.tags, "tag", nil, "TAG=REVISION; repeatable")
	f.StringSliceVar(&d.untag, "untag", nil, "tag to take away; repeatable")
	f.BoolVar(&d.latest, "latest", false, "everything to the latest ready revision")
	f.StringVarP(&output, "output", "o", "", "json or yaml")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.completeFunctions(cmd, args, prefix)
		}
		names, directive := a.completeRevisions(cmd, args, prefix)
		for i := range names {
			names[i] += "="
		}
		return names, directive | cobra.ShellCompDirectiveNoSpace
	}
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(output, "json", "yaml"); err != nil {
			return err
		}
		d.shares = args[1:]
		fn, err := s.function(ctx, args[0])
		if err != nil {
			return err
		}
		if !d.empty() {
			if err := s.divide(ctx, fn, &d); err != nil {
				return err
			}
			fmt.Fprintf(a.env.Err, "traffic of %s: %s\n", fn.Name, inWords(fn.Spec.Serving.Traffic))
			return nil
		}
		if output != "" {
			return a.print(output, fn.Status.Traffic)
		}
		fmt.Fprint(a.env.Out, trafficTable(fn))
		return nil
	})
	return cmd
}

func atLeastOne(cmd *cobra.Command, args []string) error {
	return between(1, 1000, "the name of a function")(cmd, args)
}

// divide writes a new division.
func (s *session) divide(ctx context.Context, fn *v1beta2.Function, d *division) error {
	if fn.Spec.Serving == nil {
		return fmt.Errorf("function %s is only built: it takes no traffic", fn.Name)
	}
	list, err := s.revisions(ctx, fn)
	if err != nil {
		return err
	}
	known := []string{latestName}
	for _, r := range list {
		known = append(known, r.Name)
	}
	targets, err := d.targets(fn.Spec.Serving.Traffic, known)
	if err != nil {
		return err
	}
	return s.setTraffic(ctx, fn, targets)
}

// setTraffic writes spec.serving.traffic; nil removes it, so that the latest ready revision takes everything.
func (s *session) setTraffic(ctx context.Context, fn *v1beta2.Function, targets []v1beta2.TrafficTarget) error {
	var value any
	if len(targets) > 0 {
		value = targets
	}
	return s.patch(ctx, fn, map[string]any{"spec": map[string]any{"serving": map[string]any{"traffic": value}}})
}

// targets lays the arguments over what is there: shares replace shares, tags join tags.
func (d *division) targets(old []v1beta2.TrafficTarget, known []string) ([]v1beta2.TrafficTarget, error) {
	if d.latest && len(d.shares) > 0 {
		return nil, errors.New("--latest sends everything to the latest revision; leave the shares out")
	}
	shares, err := d.parseShares(known)
	if err != nil {
		return nil, err
	}
	tags, err := d.parseTags(old, known)
	if err != nil {
		return nil, err
	}
	switch {
	case len(shares) > 0:
	case d.latest, sum(old) == 0:
		if len(tags) == 0 {
			return nil, nil
		}
		shares = []v1beta2.TrafficTarget{{LatestRevision: new(true), Percent: new(int64(100))}}
	default:
		for _, t := range old {
			if t.Percent != nil && *t.Percent > 0 {
				t.Tag = ""
				shares = append(shares, t)
			}
		}
	}
	return append(shares, tags...), nil
}

func sum(targets []v1beta2.TrafficTarget) (total int64) {
	for _, t := range targets {
		if t.Percent != nil {
			total += *t.Percent
		}
	}
	return total
}

// to names a revision, which must be one of known.
func to(name string, known []string) (v1beta2.TrafficTarget, error) {
	switch {
	case !slices.Contains(known, name):
		return v1beta2.TrafficTarget{}, fmt.Errorf("there is no revision %q; there are %s", name, strings.Join(known, ", "))
	case name == latestName:
		return v1beta2.TrafficTarget{LatestRevision: new(true)}, nil
	default:
		return v1beta2.TrafficTarget{RevisionName: name}, nil
	}
}

func (d *division) parseShares(known []string) ([]v1beta2.TrafficTarget, error) {
	var out []v1beta2.TrafficTarget
	seen := map[string]bool{}
	for _, share := range d.shares {
		name, text, ok := strings.Cut(share, "=")
		percent, err := strconv.ParseInt(strings.TrimSuffix(text, "%"), 10, 64)
		if !ok || err != nil || percent < 0 || percent > 100 {
			return nil, fmt.Errorf("%q is not REVISION=PERCENT with a percent from 0 to 100", share)
		}
		if seen[name] {
			return nil, fmt.Errorf("revision %s is given twice", name)
		}
		seen[name] = true
		t, err := to(name, known)
		if err != nil {
			return nil, err
		}
		t.Percent = &percent
		if percent > 0 {
			out = append(out, t)
		}
	}
	switch total := sum(out); {
	case len(d.shares) == 0 || total == 100:
	case total > 100 || seen[latestName]:
		return nil, fmt.Errorf("the percents add up to %d, not to 100", total)
	default:
		out = append(out, v1beta2.TrafficTarget{LatestRevision: new(true), Percent: new(100 - total)})
	}
	return out, nil
}

// parseTags keeps the tags there are, as targets without a share.
func (d *division) parseTags(old []v1beta2.TrafficTarget, known []string) ([]v1beta2.TrafficTarget, error) {
	var out []v1beta2.TrafficTarget
	gone := slices.Clone(d.untag)
	for _, t := range d.tags {
		tag, name, ok := strings.Cut(t, "=")
		if !ok || tag == "" {
			return nil, fmt.Errorf("%q is not TAG=REVISION", t)
		}
		target, err := to(name, known)
		if err != nil {
			return nil, err
		}
		target.Tag = tag
		out = append(out, target)
		gone = append(gone, tag)
	}
	for _, t := range old {
		if t.Tag != "" && !slices.Contains(gone, t.Tag) {
			out = append(out, v1beta2.TrafficTarget{RevisionName: t.RevisionName, LatestRevision: t.LatestRevision, Tag: t.Tag})
		}
	}
	return out, nil
}

// inWords is a division in one line.
func inWords(targets []v1beta2.TrafficTarget) string {
	if len(targets) == 0 {
		return "all to the latest ready revision"
	}
	var out []string
	for _, t := range targets {
		name := t.RevisionName
		if name == "" {
			name = latestName
		}
		if t.Percent != nil {
			out = append(out, fmt.Sprintf("%d%% to %s", *t.Percent, name))
		}
		if t.Tag != "" {
			out = append(out, fmt.Sprintf("tag %s on %s", t.Tag, name))
		}
	}
	return strings.Join(out, ", ")
}

func trafficTable(fn *v1beta2.Function) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "REVISION\tTRAFFIC\tTAG\tURL")
	for _, t := range fn.Status.Traffic {
		name, url := t.RevisionName, t.URL
		if t.LatestRevision {
			name += " (latest)"
		}
		if url == "" {
			url = address(fn)
		}
		fmt.Fprintf(w, "%s\t%d%%\t%s\t%s\n", name, t.Percent, orDash(t.Tag), url)
	}
	w.Flush()
	return b.String()
}
