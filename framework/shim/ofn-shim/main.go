// Command ofn-shim stands before a program of another platform inside an instance and speaks its contract:
//
//	ofn-shim watchdog [PROGRAM [ARG...]]   fprocess wins
//	ofn-shim lambda PROGRAM [ARG...]   a bootstrap of a custom runtime; calls are events of the API Gateway
//	ofn-shim lambda-raw PROGRAM [ARG...]   the same; the body of a call is the event
//	ofn-shim cgi PROGRAM [ARG...]
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/openfunction/ofn/framework/shim/cgi"
	"github.com/openfunction/ofn/framework/shim/host"
	"github.com/openfunction/ofn/framework/shim/lambda"
	"github.com/openfunction/ofn/framework/shim/watchdog"
)

func main() {
	env := host.ParseEnv(os.Environ())
	log := host.NewLog(os.Stderr, env)
	asked := make(chan os.Signal, 2)
	signal.Notify(asked, syscall.SIGTERM, os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
		<-asked // the second ends at once
		os.Exit(1)
	}()
	if err := run(ctx, os.Args[1:], env, log); err != nil {
		log.Error("function server ended", "error", err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env host.Env, log *slog.Logger) error {
	c, err := contract(args, env, log)
	if err != nil {
		return err
	}
	return host.Run(ctx, env, c)
}

func contract(args []string, env host.Env, log *slog.Logger) (host.Contract, error) {
	if len(args) == 0 {
		return nil, errors.New("usage: ofn-shim watchdog|lambda|lambda-raw|cgi [PROGRAM [ARG...]]")
	}
	switch name, program := args[0], args[1:]; name {
	case "watchdog":
		return watchdog.New(program, env, log)
	case "lambda", "lambda-raw":
		return lambda.New(program, name == "lambda-raw", env, log)
	case "cgi":
		return cgi.New(program, env, log)
	default:
		return nil, fmt.Errorf("the contract %q is not known: it is watchdog, lambda, lambda-raw or cgi", name)
	}
}
