// Command go is a function on Dapr's Go SDK: it serves a topic and a binding over gRPC and uses every building block that the
// platform offers, through the SDK alone. It ends with code 0 when all of it worked.
//
//	go GRPC_ADDRESS HTTP_URL PORT
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	dapr "github.com/dapr/go-sdk/client"
	"github.com/dapr/go-sdk/service/common"
	daprd "github.com/dapr/go-sdk/service/grpc"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, api, port string) error {
	topics, ticks := make(chan string, 1000), make(chan string, 1000)
	service, err := daprd.NewService("127.0.0.1:" + port)
	if err != nil {
		return err
	}
	err = service.AddTopicEventHandler(&common.Subscription{PubsubName: "bus", Topic: "orders", Route: "/orders"}, func(_ context.Context, e *common.TopicEvent) (bool, error) {
		topics <- string(e.RawData)
		return false, nil
	})
	if err != nil {
		return err
	}
	if err := service.AddBindingInvocationHandler("tick", func(_ context.Context, in *common.BindingEvent) ([]byte, error) {
		ticks <- in.Metadata["readTimeUTC"]
		return nil, nil
	}); err != nil {
		return err
	}
	go func() { _ = service.Start() }()
	client, err := dapr.NewClientWithAddress(api)
	if err != nil {
		return err
	}
	defer client.Close()
	steps := []struct {
		name string
		do   func(context.Context, dapr.Client) error
	}{
		{"publish", func(ctx context.Context, c dapr.Client) error {
			return until(ctx, topics, `{"n":1}`, func() error {
				return c.PublishEvent(ctx, "bus", "orders", []byte(`{"n":1}`), dapr.PublishEventWithContentType("application/json"))
			})
		}},
		{"publish several", func(ctx context.Context, c dapr.Client) error {
			if r := c.PublishEvents(ctx, "bus", "orders", []any{"a", "b"}); r.Error != nil || len(r.FailedEvents) > 0 {
				return fmt.Errorf("%+v", r)
			}
			return until(ctx, topics, "b", func() error { return nil })
		}},
		{"input binding", func(ctx context.Context, _ dapr.Client) error {
			select {
			case <-ticks:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}},
		{"state", state}, {"secret", secret}, {"output binding", binding}, {"invocation", invoke}, {"streaming", stream},
		{"metadata", func(ctx context.Context, c dapr.Client) error {
			if err := c.SetMetadata(ctx, "k", "v"); err != nil {
				return err
			}
			m, err := c.GetMetadata(ctx)
			if err == nil && m.ExtendedMetadata["k"] != "v" {
				err = fmt.Errorf("%+v", m)
			}
			return err
		}},
	}
	for _, s := range steps {
		if err := s.do(ctx, client); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println("ok", s.name)
	}
	return nil
}

// until repeats do until a value comes.
func until(ctx context.Context, from <-chan string, want string, do func() error) error {
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case got := <-from:
			if got == want {
				return nil
			}
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func state(ctx context.Context, c dapr.Client) error {
	if err := c.SaveState(ctx, "store", "a", []byte("1"), nil); err != nil {
		return err
	}
	got, err := c.GetState(ctx, "store", "a", nil)
	if err != nil || string(got.Value) != "1" || got.Etag == "" {
		return fmt.Errorf("%+v %w", got, err)
	}
	if err := c.SaveStateWithETag(ctx, "store", "a", []byte("2"), "99", nil, dapr.WithConcurrency(dapr.StateConcurrencyFirstWrite)); err == nil {
		return errors.New("a wrong etag was taken")
	}
	if err := c.ExecuteStateTransaction(ctx, "store", nil, []*dapr.StateOperation{
		{Type: dapr.StateOperationTypeUpsert, Item: &dapr.SetStateItem{Key: "b", Value: []byte("2")}},
		{Type: dapr.StateOperationTypeDelete, Item: &dapr.SetStateItem{Key: "a"}},
	}); err != nil {
		return err
	}
	many, err := c.GetBulkState(ctx, "store", []string{"a", "b"}, nil, 2)
	if err != nil || !slices.ContainsFunc(many, func(i *dapr.BulkStateItem) bool { return i.Key == "b" && string(i.Value) == "2" }) {
		return fmt.Errorf("%+v %w", many, err)
	}
	return c.DeleteState(ctx, "store", "b", nil)
}

func secret(ctx context.Context, c dapr.Client) error {
	got, err := c.GetSecret(ctx, "kubernetes", "db", nil)
	if err == nil && got["password"] != "p" {
		err = fmt.Errorf("%v", got)
	}
	return err
}

func binding(ctx context.Context, c dapr.Client) error {
	in := &dapr.InvokeBindingRequest{Name: "files", Operation: "create", Data: []byte("some text!"), Metadata: map[string]string{"fileName": "a.txt"}}
	if _, err := c.InvokeBinding(ctx, in); err != nil {
		return err
	}
	in.Operation, in.Data = "get", nil
	got, err := c.InvokeBinding(ctx, in)
	if err == nil && string(got.Data) != "some text!" {
		err = fmt.Errorf("%q", got.Data)
	}
	return err
}

func invoke(ctx context.Context, c dapr.Client) error {
	got, err := c.InvokeMethodWithContent(ctx, "callee", "echo", "put", &dapr.DataContent{Data: []byte("hi"), ContentType: "text/plain"})
	if err == nil && string(got) != "PUT /echo hi" {
		err = fmt.Errorf("%q", got)
	}
	return err
}

func stream(ctx context.Context, c dapr.Client) error {
	sub, err := c.Subscribe(ctx, dapr.SubscriptionOptions{PubsubName: "bus", Topic: "streamed"})
	if err != nil {
		return err
	}
	defer sub.Close()
	got := make(chan string, 1000)
	go func() {
		for {
			msg, err := sub.Receive()
			if err != nil {
				return
			}
			got <- string(msg.RawData)
			_ = msg.Success()
		}
	}()
	return until(ctx, got, "s", func() error { return c.PublishEvent(ctx, "bus", "streamed", []byte("s")) })
}
