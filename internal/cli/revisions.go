package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// revision is one Serving of a function with its share of the traffic.
type revision struct {
	Name      string        `json:"name"`
	State     v1beta2.State `json:"state"`
	Percent   int64         `json:"percent"`
	Tags      []string      `json:"tags,omitempty"`
	Latest    bool          `json:"latest,omitempty"` // the latest ready one
	Replicas  int32         `json:"replicas"`
	Image     string        `json:"image"`
	CreatedAt time.Time     `json:"createdAt"`
	Message   string        `json:"message,omitempty"`
}

// revisions lists those of a function, the newest first.
func (s *session) revisions(ctx context.Context, fn *v1beta2.Function) ([]revision, error) {
	var all v1beta2.ServingList
	err := s.Client.List(ctx, &all, client.InNamespace(fn.Namespace), client.MatchingLabels{v1beta2.LabelFunction: fn.Name})
	if err != nil {
		return nil, err
	}
	var out []revision
	for i := range all.Items {
		v := &all.Items[i]
		if !metav1.IsControlledBy(v, fn) {
			continue
		}
		r := revision{Name: v.Name, State: v.Status.State, Replicas: v.Status.Replicas, Image: v.Spec.Image,
			CreatedAt: v.CreationTimestamp.Time, Latest: v.Name == fn.Status.LatestReadyRevision, Message: v.Status.Message}
		for _, t := range fn.Status.Traffic {
			if t.RevisionName != v.Name {
				continue
			}
			r.Percent += t.Percent
			if t.Tag != "" {
				r.Tags = append(r.Tags, t.Tag)
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b revision) int {
		if d := number(b.Name) - number(a.Name); d != 0 {
			return d
		}
		return b.CreatedAt.Compare(a.CreatedAt)
	})
	return out, nil
}

// number is the one at the end of a revision's name.
func number(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}

func (a *app) revisionsCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:               "revisions NAME",
		Short:             "List the revisions of a function, the newest first",
		Args:              exactly(1, "the name of a function"),
		ValidArgsFunction: a.completeFunction,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml, wide or name")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(output, "json", "yaml", "wide", "name"); err != nil {
			return err
		}
		fn, err := s.function(ctx, args[0])
		if err != nil {
			return err
		}
		list, err := s.revisions(ctx, fn)
		if err != nil {
			return err
		}
		switch output {
		case "json", "yaml":
			return a.print(output, list)
		case "name":
			for _, r := range list {
				fmt.Fprintln(a.env.Out, r.Name)
			}
			return nil
		}
		if len(list) == 0 {
			fmt.Fprintf(a.env.Err, "function %s has no revision yet\n", fn.Name)
			return nil
		}
		fmt.Fprint(a.env.Out, revisionTable(list, output == "wide", time.Now()))
		return nil
	})
	return cmd
}

// revisionTable is for people.
func revisionTable(list []revision, wide bool, now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	columns := []string{"REVISION", "STATE", "TRAFFIC", "TAGS", "REPLICAS", "AGE"}
	if wide {
		columns = append(columns, "IMAGE")
	}
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, r := range list {
		traffic := "-"
		if r.Percent > 0 {
			traffic = fmt.Sprintf("%d%%", r.Percent)
		}
		cells := []string{r.Name, string(r.State), traffic, orDash(strings.Join(r.Tags, ",")), fmt.Sprint(r.Replicas), duration.HumanDuration(now.Sub(r.CreatedAt))}
		if wide {
			cells = append(cells, r.Image)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
