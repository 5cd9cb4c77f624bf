package api

import (
	"testing"

	"github.com/dapr/components-contrib/bindings"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
)

// However it is written, no request reaches files of the machine.
func TestNoFilesOfTheMachine(t *testing.T) {
	lease := &runtime.Lease{Opened: &components.Opened{Spec: event.Component{Type: "bindings.aws.s3"}}}
	for _, req := range []bindings.InvokeRequest{
		{Operation: "create", Metadata: map[string]string{"FILEPATH": "/etc/shadow"}},
		{Operation: "bulkGet", Data: []byte(`{"items":[{"key":"k","filePath":"/etc/cron.d/x"}]}`)},
		{Operation: "bulkGet", Data: []byte(`{"items":[{"key":"k","f\u0069lePath":"/etc/cron.d/x"}]}`)},
		{Operation: "bulkCreate", Data: []byte(`{"ITEMS":[{"key":"k","\u0046ilepath":"/etc/shadow"}]}`)},
	} {
		if guard(lease, &req) == nil {
			t.Errorf("%s %s %v was let through", req.Operation, req.Data, req.Metadata)
		}
	}
	harmless := bindings.InvokeRequest{Operation: "bulkCreate", Data: []byte(`{"items":[{"key":"filePath","data":"filePath"}]}`)}
	if err := guard(lease, &harmless); err != nil {
		t.Error(err)
	}
}
