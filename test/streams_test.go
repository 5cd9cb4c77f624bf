package test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// streams are the conversations of a script, by name.
type streams map[string]*stream

// streamsKey finds them.
type streamsKey struct{}

// stream is a conversation with one copy of a function.
type stream struct {
	conversation
	copy string // who answers
	said int
}

// conversation is a kind of stream. Whoever answers names itself first, then says what it heard.
type conversation interface {
	exchange(message string) (answer string, err error)
	end() error // both sides have said all; an error when the function does not see it so
	vanish()    // as when the machine of the client loses its power
}

// streamCommand keeps conversations with functions:
//
//	stream open NAME KIND FUNCTION[/PATH]   KIND is events, echo, echo2 (HTTP/2), socket (WebSocket) or grpc
//	stream talk [-t TIME] NAME...           all of them, at least once, always with the same copy
//	stream end NAME...                      and want a good end
//	stream cut [-t LIMIT] NAME              is broken off within the limit
//	stream drop NAME...                     vanish
func streamCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: stream open|talk|end|cut|drop ...")
	}
	all := ts.Value(streamsKey{}).(streams)
	f := flag.NewFlagSet("stream", flag.ContinueOnError)
	limit := f.Duration("t", 0, "")
	ts.Check(f.Parse(args[1:]))
	if args[0] == "open" {
		ts.Check(all.open(ts, f.Args()))
		return
	}
	var these []*stream
	for _, name := range f.Args() {
		s := all[name]
		if s == nil {
			ts.Fatalf("there is no stream %q", name)
		}
		these = append(these, s)
	}
	switch args[0] {
	case "talk":
		ts.Check(talk(these, *limit))
	case "end":
		for i, s := range these {
			if err := s.end(); err != nil {
				ts.Fatalf("ending %s: %v", f.Arg(i), err)
			}
		}
	case "cut":
		begin := time.Now()
		if err := talk(these, *limit); err == nil {
			ts.Fatalf("%v goes on after %v", f.Args(), time.Since(begin))
		}
	case "drop":
		for _, s := range these {
			s.vanish()
		}
	default:
		ts.Fatalf("unknown: stream %s", args[0])
	}
}

func (all streams) open(ts *testscript.TestScript, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: stream open NAME KIND FUNCTION")
	}
	c, err := newCall(ts, args[2:])
	if err != nil {
		return err
	}
	gateway := serverOf(ts).gateway
	begin, ok := map[string]func(gateway string, c *call) (conversation, error){
		"events": listen,
		"echo":   func(g string, c *call) (conversation, error) { return echo(g, c, false) },
		"echo2":  func(g string, c *call) (conversation, error) { return echo(g, c, true) },
		"socket": socket,
		"grpc":   talkGRPC,
	}[args[1]]
	if !ok {
		return fmt.Errorf("unknown kind of stream %q", args[1])
	}
	k, err := begin(gateway, c)
	if err != nil {
		return fmt.Errorf("opening %s: %w", args[0], err)
	}
	ts.Defer(k.vanish)
	s := &stream{conversation: k}
	all[args[0]] = s
	if err := s.talk(); err != nil {
		return fmt.Errorf("beginning %s: %w", args[0], err)
	}
	fmt.Fprintln(ts.Stdout(), args[0], s.copy)
	return nil
}

// talk exchanges messages in all of them for a time, at least one each.
func talk(these []*stream, d time.Duration) error {
	end := time.Now().Add(d)
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for {
		for _, s := range these {
			if err := s.talk(); err != nil {
				return fmt.Errorf("after %d messages with %s: %w", s.said, s.copy, err)
			}
		}
		if time.Now().After(end) {
			return nil
		}
		<-pace.C
	}
}

func (s *stream) talk() error {
	s.said++
	message := fmt.Sprint("message ", s.said)
	answer, err := s.exchange(message)
	if err != nil {
		return err
	}
	who, heard, _ := strings.Cut(strings.TrimSpace(answer), " ")
	if heard != message && heard != "" { // who only listens is not heard
		return fmt.Errorf("%q was answered with %q", message, answer)
	}
	if s.copy == "" {
		s.copy = who
	}
	if who != s.copy {
		return fmt.Errorf("another copy answers: %s", who)
	}
	return nil
}
