package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/cli/connect"
)

func (a *app) callsGet() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:               "get ID",
		Short:             "Show how a call stands: its attempts, its result, and who gets word of it",
		Args:              exactly(1, "the id of a call"),
		ValidArgsFunction: a.completeCalls,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	cmd.RunE = a.withCalls(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(output, "json", "yaml"); err != nil {
			return err
		}
		var found json.RawMessage
		if err := s.askJSON(ctx, http.MethodGet, callPath(s, args[0], ""), nil, &found); err != nil {
			return callError(args[0], err)
		}
		if output != "" {
			return s.printRaw(output, found)
		}
		var c listedCall
		if err := json.Unmarshal(found, &c); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		c.describe(a.env.Out, time.Now())
		return nil
	})
	return cmd
}

// withCalls is with, for commands about calls.
func (a *app) withCalls(run func(context.Context, *session, []string) error) func(*cobra.Command, []string) error {
	return a.with(func(ctx context.Context, s *session, args []string) error {
		if err := s.machine(ctx, "asynchronous calls"); err != nil {
			return err
		}
		return run(ctx, s, args)
	})
}

func callPath(s *session, id, what string) string {
	path := "calls/" + url.PathEscape(id)
	if what != "" {
		path += "/" + what
	}
	return connect.NamespacePath(s.Namespace, path)
}

// callError says what to do about the errors of one call.
func callError(id string, err error) error {
	var answer *connect.StatusError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.Code {
	case http.StatusNotFound:
		return fmt.Errorf("there is no call %s in this namespace, or no longer; `ofn calls` lists them", id)
	case http.StatusConflict, http.StatusGone:
		return fmt.Errorf("call %s: %s; see `ofn calls get %s`", id, answer.Message, id)
	case http.StatusForbidden:
		return fmt.Errorf("%w; calls are granted as nonResourceURLs, see docs/async.md", err)
	}
	return err
}

func (a *app) callsResult() *cobra.Command {
	var showHead, wait bool
	cmd := &cobra.Command{
		Use:   "result ID",
		Short: "Print what the function answered",
		Long: `Print what the function answered, as invoke does. The exit code is 1 when its status is 400 or more, and when there is no answer:
not yet, or because the call was cancelled or given up.`,
		Args:              exactly(1, "the id of a call"),
		ValidArgsFunction: a.completeCalls,
	}
	cmd.Flags().BoolVarP(&showHead, "include", "i", false, "print status and headers too, to the standard error")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end of the call")
	cmd.RunE = a.withCalls(func(ctx context.Context, s *session, args []string) error {
		if wait {
			return s.waitForCall(ctx, s.Namespace, args[0], showHead)
		}
		resp, err := s.Ask(ctx, http.MethodGet, callPath(s, args[0], "result"), nil, nil, nil)
		if err != nil {
			return s.printResult(nil, err, args[0], showHead)
		}
		defer resp.Body.Close()
		if resp.Header.Get(connect.CallState) == "" {
			return fmt.Errorf("call %s has not ended; --wait waits for it, and `ofn calls get %s` shows how it stands", args[0], args[0])
		}
		return s.printResult(resp, nil, args[0], showHead)
	})
	return cmd
}

// eachCall is a command that does one thing to each call it is given.
func (a *app) eachCall(use, short, method, what, done string) *cobra.Command {
	cmd := &cobra.Command{Use: use + " ID...", Short: short, Args: cobra.MinimumNArgs(1)}
	cmd.ValidArgsFunction = func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ids, directive := a.completeCalls(c, nil, prefix)
		return slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(args, id) }), directive
	}
	cmd.RunE = a.withCalls(func(ctx context.Context, s *session, args []string) error {
		return s.doToCalls(ctx, args, method, what, done)
	})
	return cmd
}

func (s *session) doToCalls(ctx context.Context, ids []string, method, what, done string) error {
	var failed error
	for _, id := range ids {
		if err := s.askJSON(ctx, method, callPath(s, id, what), nil, nil); err != nil {
			failed = errors.Join(failed, callError(id, err))
			continue
		}
		fmt.Fprintf(s.app.env.Out, "call %s %s\n", id, done)
	}
	return failed
}

func (a *app) callsCancel() *cobra.Command {
	return a.eachCall("cancel", "End calls that have not ended; the request of one that runs is broken off", http.MethodPost, "cancel", "cancelled")
}

func (a *app) callsDelete() *cobra.Command {
	return a.eachCall("delete", "Forget calls that have ended, with their results", http.MethodDelete, "", "deleted")
}

func (a *app) callsRedrive() *cobra.Command {
	var all bool
	var q callQuery
	cmd := &cobra.Command{
		Use:     "redrive ID... | redrive --all [FUNCTION]",
		Short:   "Run calls again that failed, were cancelled or were given up",
		Example: "  ofn calls redrive lw3kq5z7...\n  ofn calls redrive --all orders --since 1h",
	}
	q.bind(a, cmd)
	q.states = nil
	cmd.Flags().BoolVar(&all, "all", false, "all that were given up or failed, or those in the states that --state names")
	cmd.ValidArgsFunction = a.completeCalls
	cmd.RunE = a.withCalls(func(ctx context.Context, s *session, args []string) error {
		switch {
		case all && len(args) > 1, !all && len(args) == 0:
			return errors.New("redrive wants the ids of calls, or --all and perhaps a function; see `ofn calls redrive --help`")
		case !all:
			return s.doToCalls(ctx, args, http.MethodPost, "redrive", "redriven")
		}
		if len(q.states) == 0 {
			q.states = []string{"dead-lettered", "failed"}
		}
		found, err := s.listCalls(ctx, strings.Join(args, ""), &q)
		if err != nil {
			return err
		}
		var ids []string
		for _, one := range found {
			var c listedCall
			if err := json.Unmarshal(one, &c); err != nil {
				return fmt.Errorf("reading the list: %w", err)
			}
			ids = append(ids, c.ID)
		}
		if len(ids) == 0 {
			fmt.Fprintf(a.env.Err, "there are no such calls in namespace %s\n", s.Namespace)
		}
		return s.doToCalls(ctx, ids, http.MethodPost, "redrive", "redriven")
	})
	return cmd
}
