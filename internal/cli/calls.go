package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/cli/connect"
)

func (a *app) callsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "Look after asynchronous calls: those of ofn invoke --async, and of requests with Prefer: respond-async",
		Long: `Look after asynchronous calls: those of ofn invoke --async, and of requests with Prefer: respond-async.

A call is kept on disk from the moment its id is told until a day after its end. Without a command they are listed.`,
		Args: cobra.NoArgs,
	}
	list := a.callsList()
	cmd.RunE = list.RunE
	cmd.Flags().AddFlagSet(list.Flags())
	cmd.AddCommand(list, a.callsGet(), a.callsResult(), a.callsCancel(), a.callsRedrive(), a.callsDelete(), a.callsWatch(), a.callsKey())
	return cmd
}

// machine refuses control planes other than that of ofn up.
func (s *session) machine(ctx context.Context, what string) error {
	ok, err := s.Machine(ctx)
	if err == nil && !ok {
		return fmt.Errorf("%s are kept by `ofn up`, and %s is a cluster: name the kubeconfig of a machine with --kubeconfig", what, s.URL)
	}
	return err
}

// callQuery is what the flags that choose calls say.
type callQuery struct {
	states []string
	since  time.Duration
	limit  int
	output string
}

func (q *callQuery) values(function string) url.Values {
	v := url.Values{}
	if function != "" {
		v.Set("function", function)
	}
	if len(q.states) > 0 {
		v.Set("state", strings.Join(q.states, ","))
	}
	if q.since > 0 {
		v.Set("since", time.Now().Add(-q.since).UTC().Format(time.RFC3339))
	}
	return v
}

func (q *callQuery) bind(a *app, cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&q.states, "state", nil, "only those in these states: "+strings.Join(callStates, ", "))
	cmd.Flags().DurationVar(&q.since, "since", 0, "only those that were accepted since, e.g. 1h")
	complete(cmd, "state", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return callStates, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.ValidArgsFunction = a.completeFunction
}

func (a *app) callsList() *cobra.Command {
	var q callQuery
	cmd := &cobra.Command{
		Use:     "list [FUNCTION]",
		Short:   "List calls, the newest first",
		Example: "  ofn calls\n  ofn calls list orders --state failed,dead-lettered --since 1h\n  ofn calls list -o json",
		Args:    cobra.MaximumNArgs(1),
	}
	q.bind(a, cmd)
	cmd.Flags().IntVar(&q.limit, "limit", 100, "at most that many; 0 is all")
	cmd.Flags().StringVarP(&q.output, "output", "o", "", "json, yaml, wide or name")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(q.output, "json", "yaml", "wide", "name"); err != nil {
			return err
		}
		found, err := s.listCalls(ctx, strings.Join(args, ""), &q)
		if err != nil {
			return err
		}
		return s.printCalls(found, q.output)
	})
	return cmd
}

// listCalls reads page after page, each call as the server tells it.
func (s *session) listCalls(ctx context.Context, function string, q *callQuery) ([]json.RawMessage, error) {
	if err := s.machine(ctx, "asynchronous calls"); err != nil {
		return nil, err
	}
	out, query := []json.RawMessage{}, q.values(function)
	for {
		want := 1000
		if q.limit > 0 {
			want = min(want, q.limit-len(out))
		}
		query.Set("limit", strconv.Itoa(want))
		var page struct {
			Calls    []json.RawMessage
			Continue string
		}
		if err := s.askJSON(ctx, http.MethodGet, connect.NamespacePath(s.Namespace, "calls"), query, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Calls...)
		if page.Continue == "" || q.limit > 0 && len(out) >= q.limit {
			return out, nil
		}
		query.Set("continue", page.Continue)
	}
}

// askJSON reads an answer of the machine.
func (s *session) askJSON(ctx context.Context, method, path string, query url.Values, into any) error {
	resp, err := s.Ask(ctx, method, path, query, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

func (s *session) printCalls(found []json.RawMessage, output string) error {
	if output == "json" || output == "yaml" {
		return s.printRaw(output, found)
	}
	if len(found) == 0 {
		fmt.Fprintf(s.app.env.Err, "there are no such calls in namespace %s\n", s.Namespace)
		return nil
	}
	calls := make([]listedCall, len(found))
	for i, one := range found {
		if err := json.Unmarshal(one, &calls[i]); err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
	}
	if output == "name" {
		for _, c := range calls {
			fmt.Fprintln(s.app.env.Out, c.ID)
		}
		return nil
	}
	callTable(s.app.env.Out, calls, output == "wide", time.Now())
	return nil
}

// printRaw prints what the server told.
func (s *session) printRaw(format string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return s.app.print(format, plain)
}

func (a *app) callsWatch() *cobra.Command {
	var q callQuery
	cmd := &cobra.Command{
		Use:   "watch [FUNCTION]",
		Short: "Print every change of calls, from now on",
		Args:  cobra.MaximumNArgs(1),
	}
	q.bind(a, cmd)
	cmd.Flags().StringVarP(&q.output, "output", "o", "", "json, a document a line")
	cmd.RunE = a.withCalls(func(ctx context.Context, s *session, args []string) error {
		if err := checkOutput(q.output, "json"); err != nil {
			return err
		}
		query := q.values(strings.Join(args, ""))
		query.Set("watch", "true")
		err := s.eachLine(ctx, connect.NamespacePath(s.Namespace, "calls"), query, func(line []byte) error { return s.printChange(line, q.output) })
		if ctx.Err() != nil {
			return nil // Ctrl-C is how watching ends
		}
		if err == nil {
			err = errors.New("the server ended the watch: there were more changes than this end could take")
		}
		return err
	})
	return cmd
}

// eachLine reads a stream of JSON lines.
func (s *session) eachLine(ctx context.Context, path string, query url.Values, each func([]byte) error) error {
	resp, err := s.Ask(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := bufio.NewReaderSize(resp.Body, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			if err := each(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading changes: %w", err)
		}
	}
}

func (s *session) printChange(line []byte, output string) error {
	if output == "json" {
		_, err := s.app.env.Out.Write(line)
		return err
	}
	var c listedCall
	if err := json.Unmarshal(line, &c); err != nil {
		return fmt.Errorf("reading a change: %w", err)
	}
	fmt.Fprintln(s.app.env.Out, strings.TrimRight(strings.Join([]string{c.ID, c.Function.Name, c.State, strconv.Itoa(c.Attempts), c.Reason}, "  "), " "))
	return nil
}

func (a *app) callsKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the secret that webhooks of this namespace are signed with",
		Long: `Print the secret that webhooks of this namespace are signed with, in the form of Standard Webhooks: who receives them checks their
signature with it.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.withCalls(func(ctx context.Context, s *session, _ []string) error {
		return s.copyLog(ctx, connect.NamespacePath(s.Namespace, "webhook-key"), nil)
	})
	return cmd
}

// completeCalls completes the id of one call.
func (a *app) completeCalls(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	c, err := a.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s := &session{Cluster: c, app: a}
	found, err := s.listCalls(ctx, "", &callQuery{limit: 100})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, one := range found {
		var l listedCall
		if json.Unmarshal(one, &l) == nil && strings.HasPrefix(l.ID, prefix) {
			out = append(out, l.ID+"\t"+l.Function.Name+", "+l.State)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
