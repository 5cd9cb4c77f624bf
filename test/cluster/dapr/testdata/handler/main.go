// Command handler is a function that events call, made with ofn's framework: what it does with one depends on the environment, so that
// one image is every function of the tests. It says what it has been given, counts it in a state store, and sends it on.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/framework"
)

func main() {
	fw, err := framework.NewFramework()
	if err == nil {
		err = fw.Register(context.Background(), handle)
	}
	if err == nil {
		err = fw.Start(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func handle(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
	fmt.Printf("got %q\n", in)
	if word := os.Getenv("FAIL_ON"); word != "" && bytes.Contains(in, []byte(word)) {
		out := ofctx.NewFunctionOut().WithCode(ofctx.InternalError)
		out.Metadata["retry"] = "true" // come again
		return out, errors.New("the function was told to fail on " + word)
	}
	text := string(in)
	if store := os.Getenv("STATE"); store != "" {
		n, err := count(store)
		if err != nil {
			return ctx.ReturnOnInternalError(), err
		}
		text = strings.TrimSpace(fmt.Sprintf("counted %d %s", n, text))
	}
	for _, output := range strings.Fields(os.Getenv("SEND")) {
		if _, err := ctx.Send(output, []byte(text)); err != nil {
			return ctx.ReturnOnInternalError(), fmt.Errorf("sending to %s: %w", output, err)
		}
		fmt.Printf("sent %q to %s\n", text, output)
	}
	return ctx.ReturnOnSuccess(), nil
}

// count adds one to what a store of states knows.
func count(component string) (int, error) {
	url := "http://127.0.0.1:3500/v1.0/state/" + component
	res, err := http.Get(url + "/n")
	if err != nil {
		return 0, err
	}
	text, err := read(res)
	if err != nil {
		return 0, err
	}
	n, _ := strconv.Atoi(string(text)) // nothing is there at first
	n++
	body, err := json.Marshal([]map[string]any{{"key": "n", "value": n}})
	if err != nil {
		return 0, err
	}
	if res, err = http.Post(url, "application/json", bytes.NewReader(body)); err != nil {
		return 0, err
	}
	_, err = read(res)
	return n, err
}

func read(res *http.Response) ([]byte, error) {
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	return text, err
}
