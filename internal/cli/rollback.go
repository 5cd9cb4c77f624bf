package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

func (a *app) rollbackCommand() *cobra.Command {
	var wanted string
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Send all traffic to an earlier revision",
		Long: `Send all traffic to an earlier revision, by default the newest ready one before that which has most of it now.

Nothing is built or started anew. The traffic stays there, also when something new is deployed, until
` + "`ofn traffic NAME --latest`.",
		Args:              exactly(1, "the name of a function"),
		ValidArgsFunction: a.completeFunction,
	}
	cmd.Flags().StringVar(&wanted, "to", "", "revision to go back to")
	complete(cmd, "to", a.completeRevisions)
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		fn, err := s.function(ctx, args[0])
		if err != nil {
			return err
		}
		if fn.Spec.Serving == nil {
			return fmt.Errorf("function %s is only built: it takes no traffic", fn.Name)
		}
		list, err := s.revisions(ctx, fn)
		if err != nil {
			return err
		}
		to, err := earlier(fn, list, wanted)
		if err != nil {
			return err
		}
		targets := []v1beta2.TrafficTarget{{RevisionName: to, Percent: new(int64(100))}}
		for _, t := range fn.Spec.Serving.Traffic {
			if t.Tag != "" {
				targets = append(targets, v1beta2.TrafficTarget{RevisionName: t.RevisionName, LatestRevision: t.LatestRevision, Tag: t.Tag})
			}
		}
		if err := s.setTraffic(ctx, fn, targets); err != nil {
			return err
		}
		fmt.Fprintf(a.env.Err, "all traffic of %s goes to %s now; return with `ofn traffic %s --latest`\n", fn.Name, to, targetOf(fn))
		return nil
	})
	return cmd
}

// earlier chooses the revision to go back to.
func earlier(fn *v1beta2.Function, newestFirst []revision, wanted string) (string, error) {
	if wanted != "" {
		i := slices.IndexFunc(newestFirst, func(r revision) bool { return r.Name == wanted })
		switch {
		case i < 0:
			return "", fmt.Errorf("there is no revision %q; see `ofn revisions %s`", wanted, targetOf(fn))
		case newestFirst[i].State != v1beta2.StateRunning:
			return "", fmt.Errorf("revision %s is not ready (%s): it would answer nothing", wanted, newestFirst[i].State)
		}
		return wanted, nil
	}
	most := 0
	for i, r := range newestFirst {
		if r.Percent > newestFirst[most].Percent {
			most = i
		}
	}
	for _, r := range newestFirst[min(most+1, len(newestFirst)):] {
		if r.State == v1beta2.StateRunning {
			return r.Name, nil
		}
	}
	return "", fmt.Errorf("function %s has no earlier ready revision to go back to; see `ofn revisions %s`", fn.Name, targetOf(fn))
}
