//go:build linux

// Command dapr measures what Dapr's API costs a platform with many functions: the memory of the process that serves it, before
// and after 100 functions have it, each with an input, a gRPC connection, an HTTP connection and an event published over each.
// One daprd each would be about 60 MB each. The functions' side runs in another process.
//
//	go run ./bench/dapr
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
)

const limit = 60 << 20 // of 100 functions

func main() {
	apps := flag.Int("functions", 100, "functions that have the API")
	flag.Parse()
	err := errors.New("usage: dapr [-functions N]")
	switch flag.NArg() {
	case 0:
		err = measure(*apps)
	case 1:
		err = call(strings.Split(flag.Arg(0), ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dapr:", err)
		os.Exit(1)
	}
}

// resident is the memory of this process in bytes, after what is garbage was given back.
func resident() (int64, error) {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

func measure(n int) error {
	rt, err := dapr.New(dapr.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := rt.ApplyComponent(ctx, event.Component{Name: event.Name{Namespace: "bench", Name: "bus"}, Type: "pubsub.in-memory"}); err != nil {
		return err
	}
	before, err := resident()
	if err != nil {
		return err
	}
	var serving sync.WaitGroup
	var addresses []string
	for i := range n {
		addrs, err := one(ctx, rt, &serving, event.Name{Namespace: "bench", Name: fmt.Sprint("fn", i)})
		if err != nil {
			return err
		}
		addresses = append(addresses, addrs)
	}
	served, err := resident()
	if err != nil {
		return err
	}
	used, err := withClients(addresses)
	if err != nil {
		return err
	}
	cancel()
	serving.Wait()
	if err := rt.Close(); err != nil {
		return err
	}
	mb := func(b int64) float64 { return float64(b) / (1 << 20) }
	fmt.Printf("resident before %.1f MB; with the API for %d functions +%.1f MB; used by all of them +%.1f MB (%.2f MB each)\n",
		mb(before), n, mb(served-before), mb(used-before), mb(used-before)/float64(n))
	verdict := "met"
	if (used-before)*100 > limit*int64(n) {
		verdict = "MISSED"
	}
	fmt.Printf("limit: 60 MB for 100 functions: %s (ratio to the limit %.2f)\n", verdict, float64(used-before)*100/float64(limit*int64(n)))
	return nil
}

// one serves a function whose events nobody takes, and returns "GRPC HTTP", the addresses of its API.
func one(ctx context.Context, rt *dapr.Runtime, serving *sync.WaitGroup, app event.Name) (string, error) {
	err := rt.ApplyApp(ctx, event.App{Name: app, Port: 8080, Revision: "v1", Inputs: []event.Input{{Name: "in", Component: "bus", Type: "pubsub.in-memory", Topic: app.Name}}})
	if err != nil {
		return "", err
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", err
		}
	}
	serving.Go(func() { _ = rt.Serve(ctx, app, listeners[0], listeners[1]) })
	return listeners[0].Addr().String() + " " + listeners[1].Addr().String(), nil
}

// withClients is the resident memory while another process has used every API and keeps its connections.
func withClients(addresses []string) (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, strings.Join(addresses, ","))
	cmd.Stderr = os.Stderr
	end, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		return 0, fmt.Errorf("the functions' side: %w", errors.Join(err, cmd.Wait()))
	}
	used, err := resident()
	_ = end.Close()
	return used, errors.Join(err, cmd.Wait())
}

// call uses every API once over gRPC and once over HTTP, says so, and keeps the connections until its input ends.
func call(addresses []string) error {
	for _, pair := range addresses {
		grpcAddress, httpAddress, _ := strings.Cut(pair, " ")
		conn, err := grpc.NewClient(grpcAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = runtimev1.NewDaprClient(conn).PublishEvent(context.Background(), &runtimev1.PublishEventRequest{PubsubName: "bus", Topic: "other", Data: []byte("x")})
		if err != nil {
			return err
		}
		resp, err := http.Post("http://"+httpAddress+"/v1.0/publish/bus/other", "text/plain", strings.NewReader("x"))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			return fmt.Errorf("publishing: %s", resp.Status)
		}
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
