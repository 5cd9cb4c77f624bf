package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/cli/connect"
)

// busEvent is an event of a bus as the machine tells it.
type busEvent struct {
	Topic    string            `json:"topic"`
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Sequence uint64            `json:"sequence"`
	Time     time.Time         `json:"time"`
	Header   map[string]string `json:"header"`
	Data     string            `json:"data"`
	Base64   []byte            `json:"dataBase64"`
}

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Look at event buses, put events on them, and play what they keep again",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.eventsTail(), a.eventsPublish(), a.eventsReplay())
	return cmd
}

// busPlace is which events of which bus are meant.
type busPlace struct {
	bus      string
	topics   []string
	since    string
	sequence uint64
	all      bool
}

func (p *busPlace) bind(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.bus, "bus", "default", "event bus: one of the namespace, or of the cluster")
	f.StringSliceVar(&p.topics, "topic", nil, "only these topics; those of an event source are NAMESPACE-SOURCE-EVENT")
	f.StringVar(&p.since, "since", "", "begin with events that are not older: 10m, or a time as in 2030-01-31T08:00:00Z")
	f.Uint64Var(&p.sequence, "sequence", 0, "begin with the event of this number")
	f.BoolVar(&p.all, "all", false, "begin with the oldest that is kept")
	cmd.MarkFlagsMutuallyExclusive("since", "sequence", "all")
	complete(cmd, "bus", a.completeBuses)
	complete(cmd, "topic", a.completeTopics)
}

func (p *busPlace) values() (url.Values, error) {
	v := url.Values{"topic": p.topics}
	since, err := moment(p.since)
	if err != nil {
		return nil, fmt.Errorf("--since %w", err)
	}
	if since != "" {
		v.Set("since", since)
	}
	if p.sequence > 0 {
		v.Set("sequence", strconv.FormatUint(p.sequence, 10))
	}
	if p.all {
		v.Set("all", "true")
	}
	return v, nil
}

// moment reads a time, or how long ago it was.
func moment(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d).UTC().Format(time.RFC3339Nano), nil
	}
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return "", fmt.Errorf("is %q: it is a duration such as 10m, or a time such as 2030-01-31T08:00:00Z", s)
	}
	return s, nil
}

func (s *session) busPath(bus, what string) string {
	return connect.NamespacePath(s.Namespace, "buses/"+url.PathEscape(bus)+"/"+what)
}

func (a *app) eventsTail() *cobra.Command {
	var p busPlace
	var output string
	var follow bool
	var limit int
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the events of a bus, without taking them from anybody",
		Long: `Print the events of a bus, without taking them from anybody: those that come from now on, or with --since, --sequence and --all what is
kept, and with -f what comes after it.`,
		Example: "  ofn events tail\n  ofn events tail --topic default-orders-kafka --since 10m -o json\n  ofn events tail --all -f",
		Args:    cobra.NoArgs,
	}
	p.bind(a, cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes; without --since, --sequence and --all that is so anyway")
	cmd.Flags().IntVar(&limit, "limit", 0, "end after that many; 0 is never")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json (a document a line), wide (with all attributes) or data (alone, a line each)")
	cmd.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		query, err := p.values()
		if err := errors.Join(err, checkOutput(output, "json", "wide", "data"), s.machine(ctx, "event buses")); err != nil {
			return err
		}
		if follow || p.since == "" && p.sequence == 0 && !p.all {
			query.Set("follow", "true")
		}
		if limit > 0 {
			query.Set("limit", strconv.Itoa(limit))
		}
		none := true
		err = s.eachLine(ctx, s.busPath(p.bus, "events"), query, func(line []byte) error {
			none = false
			return s.printEvent(line, output)
		})
		if ctx.Err() != nil {
			return nil // Ctrl-C is how following ends
		}
		if err == nil && none && !query.Has("follow") {
			fmt.Fprintf(a.env.Err, "bus %s keeps no such events\n", p.bus)
		}
		return err
	})
	return cmd
}

func (s *session) printEvent(line []byte, output string) error {
	if output == "json" {
		_, err := s.app.env.Out.Write(line)
		return err
	}
	var e busEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	e.print(s.app.env.Out, output)
	return nil
}

// print is for people. Control characters of an event never reach the terminal.
func (e *busEvent) print(out io.Writer, output string) {
	data := visible(e.Data)
	if len(e.Base64) > 0 {
		data = fmt.Sprintf("(%d bytes that are no text)", len(e.Base64))
	}
	if output == "data" {
		fmt.Fprintln(out, data)
		return
	}
	fmt.Fprintf(out, "%s  %d  %s  %s  %s  %s\n", e.Time.Local().Format("2006-01-02 15:04:05.000"), e.Sequence, visible(e.Topic), visible(orDash(e.Header["ce-type"])), visible(orDash(e.Header["ce-id"])), data)
	if output != "wide" {
		return
	}
	var names []string
	for name := range e.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(out, "    %s: %s\n", visible(name), visible(e.Header[name]))
	}
}

// visible replaces control characters other than tabs, so that one event stays one line.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r':
			return ' '
		case r < ' ' && r != '\t', r == 0x7f, r >= 0x80 && r < 0xa0:
			return '\uFFFD'
		}
		return r
	}, s)
}

func (a *app) eventsPublish() *cobra.Command {
	var p struct{ bus, data, file, kind, source, id, subject, contentType, key string }
	var output string
	cmd := &cobra.Command{
		Use:     "publish TOPIC",
		Short:   "Put an event on a topic of a bus",
		Example: "  ofn events publish orders --type order.placed -d '{\"item\": \"tea\"}'\n  ofn events publish pictures --file cat.jpg --bus media",
		Args:    exactly(1, "a topic"),

		ValidArgsFunction: a.completeTopic,
	}
	f := cmd.Flags()
	f.StringVar(&p.bus, "bus", "default", "event bus: one of the namespace, or of the cluster")
	f.StringVarP(&p.data, "data", "d", "", "data of the event; @FILE reads it from a file, @- from the standard input")
	f.StringVar(&p.file, "file", "", "file with the data of the event")
	f.StringVar(&p.kind, "type", "ofn.publish", "type of the CloudEvent")
	f.StringVar(&p.source, "source", "ofn/cli", "source of the CloudEvent")
	f.StringVar(&p.id, "id", "", "id of the CloudEvent (default: a random one); an event of known source and id is a duplicate and is not taken again")
	f.StringVar(&p.subject, "subject", "", "subject of the CloudEvent")
	f.StringVar(&p.contentType, "content-type", "", "type of the data (default: found out)")
	f.StringVar(&p.key, "key", "", "events of one key are handled in their order by ordered subscribers")
	f.StringVarP(&output, "output", "o", "", "json")
	cmd.MarkFlagsMutuallyExclusive("data", "file")
	complete(cmd, "bus", a.completeBuses)
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		if err := errors.Join(checkOutput(output, "json"), s.machine(ctx, "event buses")); err != nil {
			return err
		}
		c := call{data: p.data, file: p.file, event: true, eventType: p.kind, eventSource: p.source, eventID: p.id, eventAbout: p.subject}
		body, contentType, err := c.body(a.env.In)
		if err != nil {
			return err
		}
		if c.eventID == "" {
			c.eventID = rand.Text()
		}
		header := http.Header{}
		c.eventHeaders(header)
		if p.contentType != "" {
			contentType = p.contentType
		}
		if contentType != "" {
			header.Set("Content-Type", contentType)
		}
		query := url.Values{"topic": args, "id": {p.source + "/" + c.eventID}}
		if p.key != "" {
			query.Set("key", p.key)
		}
		return s.publish(ctx, s.busPath(p.bus, "events"), query, header, body, output)
	})
	return cmd
}

func (s *session) publish(ctx context.Context, path string, query url.Values, header http.Header, body io.Reader, output string) error {
	resp, err := s.Ask(ctx, http.MethodPost, path, query, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var done struct {
		Sequence  uint64
		Duplicate bool
	}
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if output != "" {
		return s.app.print(output, map[string]any{"id": header.Get("ce-id"), "source": header.Get("ce-source"), "topic": query.Get("topic"),
			"sequence": done.Sequence, "duplicate": done.Duplicate})
	}
	if done.Duplicate {
		fmt.Fprintln(s.app.env.Err, "the bus has an event of this source and id already: it was not taken again")
		return nil
	}
	fmt.Fprintf(s.app.env.Out, "event %s is number %d of topic %s\n", header.Get("ce-id"), done.Sequence, query.Get("topic"))
	return nil
}

func (a *app) eventsReplay() *cobra.Command {
	var p busPlace
	var until, function, topic string
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Play events again that a bus keeps: to all its triggers, to another topic, or to one function",
		Long: `Play events again that a bus keeps, in their order, up to what was newest at the beginning. Without --function and --to-topic each is put
on its topic again, so that every trigger of it gets it; events that come meanwhile are handled as ever. The first that cannot be played
ends the command, which tells its number.`,
		Example: "  ofn events replay --topic default-orders-kafka --since 1h\n  ofn events replay --sequence 1200 --function orders/again",
		Args:    cobra.NoArgs,
	}
	p.bind(a, cmd)
	f := cmd.Flags()
	f.StringVar(&until, "until", "", "end with events that are older: 10m, or a time")
	f.StringVar(&function, "function", "", "give them to this function alone: NAME or NAME/PATH")
	f.StringVar(&topic, "to-topic", "", "put them on this topic instead")
	cmd.MarkFlagsOneRequired("since", "sequence", "all")
	cmd.MarkFlagsMutuallyExclusive("function", "to-topic")
	complete(cmd, "function", a.completeFunctions)
	complete(cmd, "to-topic", a.completeTopics)
	cmd.RunE = a.with(func(ctx context.Context, s *session, _ []string) error {
		query, err := p.values()
		if err := errors.Join(err, s.machine(ctx, "event buses")); err != nil {
			return err
		}
		end, err := moment(until)
		if err != nil {
			return fmt.Errorf("--until %w", err)
		}
		for name, value := range map[string]string{"until": end, "function": function, "totopic": topic} {
			if value != "" {
				query.Set(name, value)
			}
		}
		var done struct {
			Events int
			Last   uint64
			Error  string
		}
		if err := s.askJSON(ctx, http.MethodPost, s.busPath(p.bus, "replay"), query, &done); err != nil {
			return err
		}
		fmt.Fprintf(a.env.Out, "%d events were played again\n", done.Events)
		if done.Error != "" {
			return fmt.Errorf("%s; go on with --sequence %d when that is mended", done.Error, done.Last+1)
		}
		return nil
	})
	return cmd
}
