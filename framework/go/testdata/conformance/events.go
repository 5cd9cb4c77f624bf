package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
)

func eventVoid(_ context.Context, e event.Event) error {
	fmt.Println(e.ID())
	return nil
}

func eventRaise(_ context.Context, e event.Event) error {
	if e.Type() == "fail" {
		panic(secret)
	}
	fmt.Println(e.ID())
	return nil
}

func eventEcho(_ context.Context, e event.Event) (*event.Event, error) { return &e, nil }

func eventMake(_ context.Context, handled event.Event) (*event.Event, error) {
	e := event.New()
	e.SetID(handled.ID())
	e.SetType("made")
	e.SetSource("/made")
	e.SetSubject(`é %"`)
	e.SetExtension("note", "a b")
	return &e, e.SetData(event.ApplicationJSON, []byte(`{"z":1,"a":"<é>"}`))
}

type question struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

type greeting struct {
	Greeting string `json:"greeting"`
	Count    int    `json:"count"`
}

func greet(_ context.Context, q question) (*greeting, error) {
	switch q.Name {
	case "nobody":
		return nil, nil
	case "fail":
		return nil, errors.New(secret)
	}
	return &greeting{"hello " + q.Name, q.Count + 1}, nil
}

func ofEcho(ctx ofctx.Context, data []byte) (ofctx.Out, error) {
	return ctx.ReturnOnSuccess().WithData(data), nil
}

func ofCode(_ ofctx.Context, data []byte) (ofctx.Out, error) {
	var in struct {
		Code int    `json:"code"`
		Data string `json:"data"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	return ofctx.NewFunctionOut().WithCode(in.Code).WithData([]byte(in.Data)), nil
}

func ofRaise(ofctx.Context, []byte) (ofctx.Out, error) { panic(secret) }

func ofEvent(ctx ofctx.Context, _ []byte) (ofctx.Out, error) {
	kind, id := "-", "-"
	if e := ctx.GetCloudEvent(); e != nil {
		kind, id = cmp.Or(e.Type(), "-"), cmp.Or(e.ID(), "-")
	}
	text := fmt.Sprintln(kind, id, cmp.Or(ctx.GetInputName(), "-"))
	return ctx.ReturnOnSuccess().WithData([]byte(text)), nil
}

func ofPlugins(ctx ofctx.Context, _ []byte) (ofctx.Out, error) {
	fmt.Println("function")
	return ctx.ReturnOnSuccess().WithData([]byte("ok")), nil
}

func ofRetry(ctx ofctx.Context, data []byte) (ofctx.Out, error) {
	out := ctx.ReturnOnInternalError().GetOut()
	if bytes.Contains(data, []byte("again")) {
		out.Metadata = map[string]string{"retry": "true"}
	}
	return out, nil
}

func ofSend(ctx ofctx.Context, data []byte) (ofctx.Out, error) {
	var in struct {
		Output string `json:"output"`
		Data   string `json:"data"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	if _, err := ctx.Send(in.Output, []byte(in.Data)); err != nil {
		return nil, err
	}
	return ctx.ReturnOnSuccess().WithData([]byte("sent\n")), nil
}
