package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/openfunction/ofn/internal/cli/connect"
)

// deadLetter is an event that could not be delivered, as the machine tells it.
type deadLetter struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	From     string    `json:"from"`
	Part     string    `json:"part"`
	Sink     string    `json:"sink"`
	Cause    string    `json:"cause"`
	Code     int       `json:"code"`
	Answer   string    `json:"answer"`
	Attempts int       `json:"attempts"`
	Accepted time.Time `json:"accepted"`
	Last     time.Time `json:"last"`
	Event    *busEvent `json:"event"`
}

func (a *app) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "deadletters",
		Aliases: []string{"deadletter", "dl"},
		Short:   "Look after events that could not be delivered and have no dead-letter sink of their own",
		Long: `Look after events that could not be delivered and have no dead-letter sink of their own. Without a command they are listed. Asynchronous
calls that were given up are among ofn calls, in the state dead-lettered.`,
		Args: cobra.NoArgs,
	}
	list := a.deadLettersList()
	cmd.RunE = list.RunE
	cmd.Flags().AddFlagSet(list.Flags())
	cmd.AddCommand(list, a.deadLettersShow(),
		a.eachLetter("redrive", "Deliver events again; those that are taken are dead letters no longer", http.MethodPost, "/redrive", "delivered"),
		a.eachLetter("delete", "Forget events that could not be delivered", http.MethodDelete, "", "deleted"))
	return cmd
}

// letterQuery chooses dead letters.
type letterQuery struct {
	kind, from string
	limit      int
}

func (q *letterQuery) bind(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&q.kind, "kind", "", "only those that one of this kind gave up: Trigger, Source or App")
	cmd.Flags().StringVar(&q.from, "from", "", "only those of the trigger, event source or function of this name")
	complete(cmd, "from", a.completeGivers)
	complete(cmd, "kind", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"Trigger", "Source", "App"}, cobra.ShellCompDirectiveNoFileComp
	})
}

// settle reads the kind as people write it.
func (q *letterQuery) settle() error {
	switch strings.ToLower(q.kind) {
	case "":
	case "trigger", "triggers":
		q.kind = "Trigger"
	case "source", "eventsource", "eventsources", "es":
		q.kind = "Source"
	case "app", "function", "functions", "fn":
		q.kind = "App"
	default:
		return fmt.Errorf("--kind is %q: it is Trigger, Source or App, which is a function", q.kind)
	}
	return nil
}

func (a *app) deadLettersList() *cobra.Command {
	var q letterQuery
	var output string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, the oldest first",
		Example: "  ofn deadletters\n  ofn deadletters list --from alerts -o wide",
		Args:    cobra.NoArgs,
	}
	q.bind(a, cmd)
	cmd.Flags().IntVar(&q.limit, "limit", 100, "at most that many; 0 is all")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml, wide or name")
	cmd.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		if err := errors.Join(checkOutput(output, "json", "yaml", "wide", "name"), q.settle(), s.machine(ctx, "dead letters")); err != nil {
			return err
		}
		found, err := s.letters(ctx, &q)
		switch {
		case err != nil:
			return err
		case output == "json", output == "yaml":
			return s.printRaw(output, found)
		case len(found) == 0:
			fmt.Fprintf(a.env.Err, "there are no dead letters in namespace %s\n", s.Namespace)
			return nil
		}
		return s.printLetters(found, output)
	})
	return cmd
}

// letters reads page after page.
func (s *session) letters(ctx context.Context, q *letterQuery) ([]json.RawMessage, error) {
	out, query := []json.RawMessage{}, url.Values{}
	for name, value := range map[string]string{"kind": q.kind, "from": q.from} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for {
		want := 1000
		if q.limit > 0 {
			want = min(want, q.limit-len(out))
		}
		query.Set("limit", strconv.Itoa(want))
		var page struct {
			DeadLetters []json.RawMessage
			Continue    string
		}
		if err := s.askJSON(ctx, http.MethodGet, connect.NamespacePath(s.Namespace, "deadletters"), query, &page); err != nil {
			return nil, err
		}
		out = append(out, page.DeadLetters...)
		if page.Continue == "" || q.limit > 0 && len(out) >= q.limit {
			return out, nil
		}
		query.Set("continue", page.Continue)
	}
}

func (s *session) printLetters(found []json.RawMessage, output string) error {
	w := tabwriter.NewWriter(s.app.env.Out, 0, 0, 3, ' ', 0)
	defer w.Flush()
	switch output {
	case "wide":
		fmt.Fprintln(w, "ID\tKIND\tFROM\tSINK\tATTEMPTS\tLAST\tCAUSE\tPART")
	case "":
		fmt.Fprintln(w, "ID\tKIND\tFROM\tSINK\tATTEMPTS\tLAST\tCAUSE")
	}
	for _, one := range found {
		var l deadLetter
		if err := json.Unmarshal(one, &l); err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
		if output == "name" {
			fmt.Fprintln(w, l.ID)
			continue
		}
		cells := []string{l.ID, l.Kind, l.From, orDash(l.Sink), strconv.Itoa(l.Attempts), duration.HumanDuration(time.Since(l.Last)) + " ago", visible(l.Cause)}
		if output == "wide" {
			cells = append(cells, orDash(visible(l.Part)))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return nil
}

func letterPath(s *session, id, what string) string {
	return connect.NamespacePath(s.Namespace, "deadletters/"+url.PathEscape(id)+what)
}

// letterError says what to do about the errors of one dead letter.
func letterError(id string, err error) error {
	var answer *connect.StatusError
	switch {
	case !errors.As(err, &answer):
		return err
	case answer.Code == http.StatusNotFound:
		return fmt.Errorf("there is no dead letter %s in this namespace, or no longer; `ofn deadletters` lists them", id)
	case answer.Code == http.StatusConflict:
		return fmt.Errorf("dead letter %s: %s", id, answer.Message)
	}
	return err
}

func (a *app) deadLettersShow() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show an event that could not be delivered, and why",
		Args:              exactly(1, "the id of a dead letter"),
		ValidArgsFunction: a.completeLetters,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml or data (of the event alone)")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := errors.Join(checkOutput(output, "json", "yaml", "data"), s.machine(ctx, "dead letters")); err != nil {
			return err
		}
		var found json.RawMessage
		if err := s.askJSON(ctx, http.MethodGet, letterPath(s, args[0], ""), nil, &found); err != nil {
			return letterError(args[0], err)
		}
		if output == "json" || output == "yaml" {
			return s.printRaw(output, found)
		}
		var l deadLetter
		if err := json.Unmarshal(found, &l); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if output == "data" && l.Event != nil {
			data := l.Event.Base64
			if len(data) == 0 {
				data = []byte(l.Event.Data)
			}
			_, err := a.env.Out.Write(data)
			return err
		}
		l.describe(a.env.Out)
		return nil
	})
	return cmd
}

func (l *deadLetter) describe(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" && value != "0" {
			fmt.Fprintf(w, "%s\t%s\n", name, visible(value))
		}
	}
	row("ID:", l.ID)
	row("From:", l.Kind+" "+l.From)
	row("Part:", l.Part)
	row("Sink:", l.Sink)
	row("Cause:", l.Cause)
	row("Status:", strconv.Itoa(l.Code))
	row("Answer:", l.Answer)
	row("Attempts:", strconv.Itoa(l.Attempts))
	row("Accepted:", l.Accepted.Format(time.RFC3339))
	row("Last attempt:", l.Last.Format(time.RFC3339))
	w.Flush()
	if l.Event != nil {
		fmt.Fprintln(out, "\nEvent:")
		l.Event.print(out, "wide")
	}
	fmt.Fprintf(out, "\nMend the cause, then deliver it again with `ofn deadletters redrive %s`.\n", l.ID)
}

// eachLetter is a command that does one thing to each dead letter it is given, or to all that are chosen.
func (a *app) eachLetter(use, short, method, what, done string) *cobra.Command {
	var all bool
	var q letterQuery
	cmd := &cobra.Command{Use: use + " ID... | " + use + " --all", Short: short, ValidArgsFunction: a.completeLetters}
	q.bind(a, cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all, or those that --kind and --from choose")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if all != (len(args) == 0) {
			return fmt.Errorf("%s wants the ids of dead letters, or --all; see `ofn deadletters %s --help`", use, use)
		}
		if err := errors.Join(q.settle(), s.machine(ctx, "dead letters")); err != nil {
			return err
		}
		if all {
			found, err := s.letters(ctx, &q)
			if err != nil {
				return err
			}
			for _, one := range found {
				var l deadLetter
				if err := json.Unmarshal(one, &l); err != nil {
					return fmt.Errorf("reading the list: %w", err)
				}
				args = append(args, l.ID)
			}
		}
		var failed error
		for _, id := range args {
			if err := s.askJSON(ctx, method, letterPath(s, id, what), nil, nil); err != nil {
				failed = errors.Join(failed, letterError(id, err))
				continue
			}
			fmt.Fprintf(a.env.Out, "dead letter %s %s\n", id, done)
		}
		return failed
	})
	return cmd
}
