// Package alert tells a Slack channel of requests that found nothing, as OpenFunction's log alert sample does.
package alert

import (
	"encoding/json"
	"fmt"
	"strings"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/functions"
)

func init() { functions.OpenFunction("alert", alert) }

// line is what the collector of logs writes to Kafka.
type line struct {
	Log        string `json:"log"`
	Kubernetes struct {
		Namespace string `json:"namespace_name"`
		Pod       string `json:"pod_name"`
	} `json:"kubernetes"`
}

// alert lets pass what is no 404, and sends the rest to the output "notify".
func alert(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
	var l line
	if err := json.Unmarshal(in, &l); err != nil {
		return ctx.ReturnOnInternalError(), fmt.Errorf("reading a log line: %w", err)
	}
	if !strings.Contains(l.Log, `" 404 `) {
		return ctx.ReturnOnSuccess(), nil
	}
	text := fmt.Sprintf(":warning: *404* in %s/%s: `%s`", l.Kubernetes.Namespace, l.Kubernetes.Pod, l.Log)
	message, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return ctx.ReturnOnInternalError(), err
	}
	if _, err := ctx.Send("notify", message); err != nil {
		return ctx.ReturnOnInternalError(), fmt.Errorf("telling Slack: %w", err)
	}
	return ctx.ReturnOnSuccess(), nil
}
