package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/connect"
)

// logQuery is what the flags of logs say.
type logQuery struct {
	follow, build bool
	tail          int
	since         time.Duration
	revision      string
	container     string
	previous      bool
}

func (a *app) logsCommand() *cobra.Command {
	var q logQuery
	cmd := &cobra.Command{
		Use:   "logs NAME [CONTAINER]",
		Short: "Print what a function, or its build, has written",
		Long: `Print what the copies of a function have written, or with --build the log of its latest build.

Each line of a copy begins with its time and the name of the copy; those of all copies are in the order of time. On a cluster these are
the logs of pods, which you must be allowed to list, to watch (-f) and to read; copies that ended are gone with their logs.
CONTAINER is for functions on a cluster that have others beside their own.`,
		Example:           "  ofn logs hello -f\n  ofn logs hello --since 10m --tail 100\n  ofn logs hello --build -f\n  ofn logs hello queue-proxy",
		Args:              between(1, 2, "the name of a function"),
		ValidArgsFunction: a.completeFunction,
	}
	f := cmd.Flags()
	f.BoolVarP(&q.follow, "follow", "f", false, "go on with what is written from now")
	f.BoolVar(&q.build, "build", false, "the log of the latest build instead")
	f.IntVar(&q.tail, "tail", 0, "only that many of the last lines")
	f.DurationVar(&q.since, "since", 0, "only what is not older, e.g. 5m")
	f.StringVar(&q.revision, "revision", "", "only the copies of this revision")
	f.BoolVarP(&q.previous, "previous", "p", false, "on a cluster, of containers that were started again: what they wrote before")
	cmd.MarkFlagsMutuallyExclusive("follow", "previous")
	complete(cmd, "revision", a.completeRevisions)
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if q.tail < 0 {
			return errors.New("--tail is a number of lines")
		}
		if len(args) == 2 {
			q.container = args[1]
		}
		fn, err := s.function(ctx, args[0])
		if err != nil {
			return err
		}
		err = s.logs(ctx, fn, q)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how following ends
		}
		return err
	})
	return cmd
}

func (s *session) logs(ctx context.Context, fn *v1beta2.Function, q logQuery) error {
	machine, err := s.Machine(ctx)
	switch {
	case err != nil:
		return err
	case machine && q.container != "":
		return fmt.Errorf("a copy on one machine has no containers: leave %s out", q.container)
	case machine && q.previous:
		return errors.New("--previous is for clusters: the logs of one machine hold what copies wrote that have ended")
	case q.build:
		return s.buildLog(ctx, fn, q, machine)
	case !machine:
		return s.podLogs(ctx, fn, q)
	}
	query := url.Values{}
	set := func(key, value string, given bool) {
		if given {
			query.Set(key, value)
		}
	}
	set("follow", "true", q.follow)
	set("tail", strconv.Itoa(q.tail), q.tail > 0)
	set("since", time.Now().Add(-q.since).UTC().Format(time.RFC3339), q.since > 0)
	set("revision", q.revision, q.revision != "")
	err = s.copyLog(ctx, connect.FunctionPath(fn.Namespace, fn.Name, "logs"), query)
	var answer *connect.StatusError
	if errors.As(err, &answer) && answer.Code == http.StatusNotFound {
		return fmt.Errorf("function %s has written nothing yet", fn.Name)
	}
	return err
}

func (s *session) buildLog(ctx context.Context, fn *v1beta2.Function, q logQuery, machine bool) error {
	if fn.Status.Build == nil || fn.Status.Build.ResourceRef == "" {
		return fmt.Errorf("function %s has no build", fn.Name)
	}
	name := fn.Status.Build.ResourceRef
	if !machine {
		return s.buildPodsLog(ctx, fn, name, q)
	}
	query := url.Values{}
	if q.follow {
		query.Set("follow", "true")
	}
	err := s.copyLog(ctx, connect.BuilderPath(fn.Namespace, name), query)
	var answer *connect.StatusError
	if errors.As(err, &answer) && answer.Code == http.StatusNotFound {
		return fmt.Errorf("build %s (%s) has no log", name, fn.Status.Build.State)
	}
	return err
}

func (s *session) copyLog(ctx context.Context, path string, query url.Values) error {
	log, err := s.Stream(ctx, path, query)
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := io.Copy(s.app.env.Out, log); err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	return nil
}
