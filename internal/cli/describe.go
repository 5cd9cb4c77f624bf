package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// maxEvents bounds the events that are shown.
const maxEvents = 10

// description is everything that describe shows.
type description struct {
	function  *v1beta2.Function
	builder   *v1beta2.Builder // nil when there is none
	revisions []revision
	events    []corev1.Event
	feeds     []feed
	now       time.Time
}

func (a *app) describeCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "describe NAME | describe KIND/NAME",
		Short: "Show how a function stands: build, revisions, traffic, addresses, events, and what to do",
		Long: `Show how a function stands: build, revisions, traffic, addresses, events, and what to do. Of an event source, an event bus, a trigger or a
component: what comes and where it goes, how many events wait, were handled or failed, and the last error.`,
		Example:           "  ofn describe hello\n  ofn describe trigger/alerts",
		Args:              between(1, 2, "the name of a function, or a kind and a name"),
		ValidArgsFunction: a.completeObject,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml: the objects instead of words")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(output, "json", "yaml"); err != nil {
			return err
		}
		if r, names, err := resourceAndNames(args); err == nil && r.ofEvents() && len(names) == 1 {
			return s.describeEvents(ctx, r, names[0], output)
		}
		if len(args) > 1 {
			return fmt.Errorf("describe wants one function, event source, event bus, trigger or component; see `%s --help`", cmd.CommandPath())
		}
		fn, err := s.function(ctx, args[0])
		if err != nil {
			return err
		}
		d := description{function: fn, now: time.Now()}
		if d.revisions, err = s.revisions(ctx, fn); err != nil {
			return err
		}
		if b := fn.Status.Build; b != nil && b.ResourceRef != "" {
			builder := &v1beta2.Builder{}
			err := s.Client.Get(ctx, client.ObjectKey{Namespace: fn.Namespace, Name: b.ResourceRef}, builder)
			if client.IgnoreNotFound(err) != nil {
				return err
			} else if err == nil {
				d.builder = builder
			}
		}
		if d.events, err = s.events(ctx, fn, d.revisions); err != nil {
			return err
		}
		if d.feeds, err = s.feeds(ctx, fn.Name, fn.Namespace); err != nil {
			return err
		}
		if output != "" {
			return a.print(output, d.objects())
		}
		d.write(a.env.Out)
		return nil
	})
	return cmd
}

// objects are what describe tells of, for programs.
func (d *description) objects() map[string]any {
	out := map[string]any{"function": d.function, "events": d.events}
	if d.builder != nil {
		out["builder"] = d.builder
	}
	return out
}

// events are the latest of a function, its build and its revisions, the oldest first.
func (s *session) events(ctx context.Context, fn *v1beta2.Function, revisions []revision) ([]corev1.Event, error) {
	about := map[string]bool{"Function/" + fn.Name: true}
	if fn.Status.Build != nil {
		about["Builder/"+fn.Status.Build.ResourceRef] = true
	}
	for _, r := range revisions {
		about["Serving/"+r.Name] = true
	}
	var all corev1.EventList
	if err := s.Client.List(ctx, &all, client.InNamespace(fn.Namespace)); err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(all.Items, func(e corev1.Event) bool {
		return !about[e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name]
	})
	slices.SortFunc(out, func(a, b corev1.Event) int { return seen(a).Compare(seen(b)) })
	return out[max(0, len(out)-maxEvents):], nil
}

func seen(e corev1.Event) time.Time {
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

func (d *description) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(d.now.Sub(t)) + " ago"
}

func (d *description) write(out io.Writer) {
	fn := d.function
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("Name:", "%s", fn.Name)
	row("Namespace:", "%s", fn.Namespace)
	row("Created:", "%s", d.ago(fn.CreationTimestamp.Time))
	row("Image:", "%s", fn.Spec.Image)
	if fn.Status.Revision != nil {
		row("Digest:", "%s", fn.Status.Revision.ImageDigest)
	}
	for i, a := range fn.Status.Addresses {
		name := ""
		if i == 0 {
			name = "Addresses:"
		}
		row(name, "%s (%s)", a.Value, strings.ToLower(a.Type))
	}
	if shared := d.shared(); shared != "" {
		row("Shared:", "%s", shared)
	}
	w.Flush()
	d.conditions(out)
	d.build(out)
	if len(d.revisions) > 0 {
		fmt.Fprintf(out, "\nRevisions:\n%s", indent(revisionTable(d.revisions, false, d.now)))
	}
	for _, r := range d.revisions {
		if r.Message != "" && r.State != v1beta2.StateRunning {
			fmt.Fprintf(out, "  %s: %s\n", r.Name, strings.TrimSpace(r.Message))
		}
	}
	d.flows(out)
	d.recent(out)
	if hints := d.hints(); len(hints) > 0 {
		fmt.Fprintf(out, "\nWhat to do:\n")
		for _, h := range hints {
			fmt.Fprintf(out, "  - %s\n", h)
		}
	}
}

// shared says with whom the function has its copies in common, and what that means.
func (d *description) shared() string {
	s := d.function.Status.Shared
	const means = "; one crash, one memory limit and one scale for all"
	switch {
	case s == nil:
		return ""
	case s.Leader != d.function.Name:
		return fmt.Sprintf("served at %s by the copies of function %s%s", cmp.Or(s.Path, "/"), s.Leader, means)
	case len(s.Members) > 0:
		return fmt.Sprintf("its copies serve %s as well%s", strings.Join(s.Members, ", "), means)
	default:
		return "it leads a group without other members"
	}
}

func (d *description) conditions(out io.Writer) {
	fmt.Fprintf(out, "\nConditions:\n")
	if len(d.function.Status.Conditions) == 0 {
		fmt.Fprintf(out, "  none yet\n")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range d.function.Status.Conditions {
		first, rest, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
		if rest != "" {
			first += " …"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", c.Type, c.Status, d.ago(c.LastTransitionTime.Time), c.Reason, first)
	}
	w.Flush()
}

func (d *description) build(out io.Writer) {
	if d.builder == nil {
		return
	}
	b := d.builder
	fmt.Fprintf(out, "\nBuild %s:\n", b.Name)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  State:\t%s\n", b.Status.State)
	if b.Status.BuildDuration != nil {
		fmt.Fprintf(w, "  Took:\t%s\n", b.Status.BuildDuration.Round(time.Millisecond))
	}
	for _, s := range b.Status.Sources {
		switch {
		case s.Git != nil:
			fmt.Fprintf(w, "  Source:\tgit %s\n", s.Git.CommitSha)
		case s.Bundle != nil:
			fmt.Fprintf(w, "  Source:\tbundle %s\n", s.Bundle.Digest)
		}
	}
	w.Flush()
	d.functions(out)
	if m := strings.TrimSpace(b.Status.Message); m != "" && b.Status.State != v1beta2.StateSucceeded {
		fmt.Fprint(out, indent(b.Status.Reason+": "+m))
	}
}

// functions are those of an application, when the build could know them.
func (d *description) functions(out io.Writer) {
	if d.builder.Status.Output == nil || len(d.builder.Status.Output.Functions) == 0 {
		return
	}
	fmt.Fprintf(out, "\nFunctions:\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range d.builder.Status.Output.Functions {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", f.Name, f.Signature, cmp.Or(f.Path, "every path"), cmp.Or(strings.Join(f.Methods, ", "), "all methods"))
	}
	w.Flush()
}

func (d *description) recent(out io.Writer) {
	if len(d.events) == 0 {
		return
	}
	fmt.Fprintf(out, "\nEvents:\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, e := range d.events {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s/%s\t%s\n", d.ago(seen(e)), e.Type, e.Reason, strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, strings.TrimSpace(e.Message))
	}
	w.Flush()
}

// hints say which command helps with what is not as it should be.
func (d *description) hints() []string {
	fn, name := d.function, targetOf(d.function)
	var out []string
	ready := meta.FindStatusCondition(fn.Status.Conditions, v1beta2.ConditionReady)
	if ready == nil || fn.Status.ObservedGeneration < fn.Generation {
		out = append(out, "no controller has looked at the newest version yet; if that lasts, see whether `ofn up` (or the operator) runs")
	}
	if b := fn.Status.Build; b != nil && b.State.Finished() && b.State != v1beta2.StateSucceeded {
		out = append(out, fmt.Sprintf("the build failed: read `ofn logs %s --build`, mend the source, then `ofn deploy` (or `ofn rebuild %s` for a git source)", name, name))
	}
	if served := meta.FindStatusCondition(fn.Status.Conditions, v1beta2.ConditionServed); served != nil && served.Status == metav1.ConditionFalse {
		out = append(out, fmt.Sprintf("the newest revision does not run: read `ofn logs %s`; `ofn traffic %s` shows what answers meanwhile", name, name))
	}
	if note := pinned(fn); note != "" {
		out = append(out, note)
	}
	if ready != nil && ready.Status == metav1.ConditionTrue {
		out = append(out, fmt.Sprintf("call it with `ofn invoke %s`", name))
	}
	return out
}

func indent(s string) string {
	s = strings.TrimRight(s, "\n")
	return "  " + strings.ReplaceAll(s, "\n", "\n  ") + "\n"
}
