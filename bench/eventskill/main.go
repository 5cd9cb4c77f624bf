//go:build linux

// Command eventskill kills the event half of the platform, at random points, as often as it is told, while events flow through it:
// webhooks and a stream of a real Redis, the bus on disk, an ordered and an unordered trigger, deliveries to a function in another
// process, dead letters. That function is killed and paused as well, answers 500 now and then, and refuses some events for good.
// In the end every event that was acknowledged to its publisher (HTTP 202, an answer of Redis) must have reached the function or
// the dead letters, and first deliveries of each key in order. Redis must be installed.
//
//	go run ./bench/eventskill [-events 1000000] [-kills 1000]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	o := options{}
	flag.IntVar(&o.events, "events", 1_000_000, "events that are published")
	flag.IntVar(&o.kills, "kills", 1000, "how often the platform is killed")
	flag.IntVar(&o.functionKills, "function-kills", 100, "how often the function is killed")
	flag.IntVar(&o.pauses, "pauses", 100, "how often the function is stopped for a while")
	flag.IntVar(&o.publishers, "publishers", 64, "publishers of webhooks at once, each with a key of its own")
	flag.StringVar(&o.dir, "dir", "", "where everything is kept: a directory on the disk that is to be used; empty is a temporary one, which stays when something is lost")
	flag.DurationVar(&o.most, "most", time.Hour, "publish and kill no longer than this, whatever was wanted")
	flag.DurationVar(&o.patience, "patience", 5*time.Minute, "how long what is left may take after the last kill")
	role := flag.String("role", "", "what this process is; set by the command itself")
	redis := flag.String("redis", "", "for a role: the address of Redis")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch *role {
	case "":
		err = conduct(ctx, o)
	case "platform":
		err = platform(ctx, o.dir, *redis)
	case "function":
		err = function(ctx, filepath.Join(o.dir, functionSocket))
	default:
		err = errors.New("there is no role " + *role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "eventskill:", err)
		os.Exit(1)
	}
}

type options struct {
	events, kills, functionKills, pauses, publishers int

	dir            string
	most, patience time.Duration
}

// Sockets in the directory.
const (
	platformSocket = "platform.sock"
	functionSocket = "function.sock"
)
