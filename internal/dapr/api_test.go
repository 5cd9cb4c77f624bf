package dapr_test

import (
	"context"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/dapr/components-contrib/pubsub"
	commonv1 "github.com/dapr/dapr/pkg/proto/common/v1"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
)

func publish(t *testing.T, to pubsub.PubSub, topic, text string) {
	t.Helper()
	if err := to.Publish(t.Context(), &pubsub.PublishRequest{Topic: topic, Data: []byte(text)}); err != nil {
		t.Fatal(err)
	}
}

func TestStateOverHTTP(t *testing.T) {
	for _, store := range []event.Component{
		component("store", "state.in-memory"),
		component("store", "state.sqlite", "connectionString", "state.db"),
	} {
		t.Run(store.Type, func(t *testing.T) {
			p := newPlatform(t)
			p.component(store)
			p.ready(event.KindComponent, "store")
			api, other := p.serve(name("fn")), p.serve(name("other"))
			api.must("POST", "/v1.0/state/store", `[{"key":"a","value":{"x":1}},{"key":"b","value":"text"}]`)
			if v := api.must("GET", "/v1.0/state/store/a", ""); v != `{"x":1}` {
				t.Errorf("a is %s", v)
			}
			if code, body, _ := api.http("GET", "/v1.0/state/store/none", ""); code != http.StatusNoContent || body != "" {
				t.Errorf("a key that is not there: %d %s", code, body)
			}
			if code, _, _ := other.http("GET", "/v1.0/state/store/a", ""); code != http.StatusNoContent {
				t.Errorf("another function sees the key: %d", code)
			}
			_, _, header := api.http("GET", "/v1.0/state/store/a", "")
			etag := header.Get("ETag")
			if etag == "" {
				t.Fatal("no ETag")
			}
			api.must("POST", "/v1.0/state/store", `[{"key":"a","value":2,"etag":"`+etag+`","options":{"concurrency":"first-write"}}]`)
			if code, body, _ := api.http("POST", "/v1.0/state/store", `[{"key":"a","value":3,"etag":"`+etag+`","options":{"concurrency":"first-write"}}]`); code < 400 || code > 409 || !strings.Contains(body, "ERR_STATE_SAVE") {
				t.Errorf("a stale etag: %d %s", code, body)
			}
			api.must("POST", "/v1.0/state/store/transaction", `{"operations":[{"operation":"upsert","request":{"key":"c","value":3}},{"operation":"delete","request":{"key":"b"}}]}`)
			if v := api.must("POST", "/v1.0/state/store/bulk", `{"keys":["a","b","c"]}`); !strings.Contains(v, `"key":"c"`) || !strings.Contains(v, `"data":3`) || strings.Contains(v, "text") {
				t.Errorf("bulk: %s", v)
			}
			api.must("DELETE", "/v1.0/state/store/a", "")
			if code, _, _ := api.http("GET", "/v1.0/state/store/a", ""); code != http.StatusNoContent {
				t.Errorf("it was not deleted: %d", code)
			}
			api.fails("GET", "/v1.0/state/nostore/a", "", http.StatusBadRequest, "ERR_STATE_STORE_NOT_FOUND")
			api.fails("GET", "/v1.0/state/store/a%7C%7Cb", "", http.StatusBadRequest, "ERR_MALFORMED_REQUEST")
			api.fails("POST", "/v1.0/state/store", `[{"value":1}]`, http.StatusBadRequest, "ERR_MALFORMED_REQUEST")
			api.fails("POST", "/v1.0/state/store/transaction", `{"operations":[{"operation":"burn","request":{}}]}`, http.StatusBadRequest, "ERR_NOT_SUPPORTED_STATE_OPERATION")
		})
	}
}

func TestStateOverGRPC(t *testing.T) {
	p := newPlatform(t)
	p.component(component("store", "state.in-memory"))
	p.ready(event.KindComponent, "store")
	api := p.serve(name("fn"))
	ctx := t.Context()
	save := func(key, value, etag string) error {
		item := &commonv1.StateItem{Key: key, Value: []byte(value)}
		if etag != "" {
			item.Etag = &commonv1.Etag{Value: etag}
		}
		_, err := api.grpc.SaveState(ctx, &runtimev1.SaveStateRequest{StoreName: "store", States: []*commonv1.StateItem{item}})
		return err
	}
	if err := save("a", "1", ""); err != nil {
		t.Fatal(err)
	}
	got, err := api.grpc.GetState(ctx, &runtimev1.GetStateRequest{StoreName: "store", Key: "a"})
	if err != nil || string(got.GetData()) != "1" || got.GetEtag() == "" {
		t.Fatalf("%v %v", got, err)
	}
	if err := save("a", "2", got.GetEtag()); err != nil {
		t.Fatal(err)
	}
	if err := save("a", "3", got.GetEtag()); status.Code(err) != codes.Aborted && status.Code(err) != codes.InvalidArgument {
		t.Errorf("a stale etag: %v", err)
	}
	_, err = api.grpc.ExecuteStateTransaction(ctx, &runtimev1.ExecuteStateTransactionRequest{StoreName: "store", Operations: []*runtimev1.TransactionalStateOperation{
		{OperationType: "upsert", Request: &commonv1.StateItem{Key: "b", Value: []byte("b")}},
		{OperationType: "delete", Request: &commonv1.StateItem{Key: "a"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := api.grpc.GetBulkState(ctx, &runtimev1.GetBulkStateRequest{StoreName: "store", Keys: []string{"a", "b"}})
	if err != nil || len(all.GetItems()) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	for _, item := range all.GetItems() {
		if (item.GetKey() == "b") != (string(item.GetData()) == "b") {
			t.Errorf("%v", item)
		}
	}
	if _, err := api.grpc.GetState(ctx, &runtimev1.GetStateRequest{StoreName: "nostore", Key: "a"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an unknown store: %v", err)
	}
}

// vault is the platform's secrets.
type vault map[string]map[string]map[string]string

func (v vault) Secret(_ context.Context, ns, name string) (map[string]string, error) {
	return v[ns][name], nil
}
func (v vault) Secrets(_ context.Context, ns string) (map[string]map[string]string, error) {
	if ns != "" {
		return v[ns], nil
	}
	all := map[string]map[string]string{} // as Kubernetes answers
	for _, of := range v {
		maps.Copy(all, of)
	}
	return all, nil
}

func TestSecrets(t *testing.T) {
	var dir string
	p := newPlatform(t, func(o *dapr.Options) {
		o.Secrets = vault{"ns": {"db": {"password": "p"}}, "kube-system": {"root": {"token": "t"}}}
		o.Environ = []string{"SHOWN_A=1", "HIDDEN=2"}
		dir = o.Files
	})
	api := p.serve(name("fn"))
	if v := api.must("GET", "/v1.0/secrets/kubernetes/db", ""); v != `{"password":"p"}` {
		t.Errorf("%s", v)
	}
	if v := api.must("GET", "/v1.0/secrets/kubernetes/bulk", ""); v != `{"db":{"password":"p"}}` {
		t.Errorf("%s", v)
	}
	api.fails("GET", "/v1.0/secrets/kubernetes/root?metadata.namespace=kube-system", "", http.StatusForbidden, "ERR_PERMISSION_DENIED")
	if v := api.must("GET", "/v1.0/secrets/kubernetes/bulk?metadata.namespace=", ""); v != `{"db":{"password":"p"}}` {
		t.Errorf("no namespace is all of them: %s", v)
	}
	api.fails("GET", "/v1.0/secrets/kubernetes/none", "", http.StatusInternalServerError, "ERR_SECRET_GET")
	api.fails("GET", "/v1.0/secrets/nostore/x", "", http.StatusUnauthorized, "ERR_SECRET_STORE_NOT_FOUND")
	got, err := api.grpc.GetSecret(t.Context(), &runtimev1.GetSecretRequest{StoreName: "kubernetes", Key: "db"})
	if err != nil || got.GetData()["password"] != "p" {
		t.Errorf("%v %v", got, err)
	}

	if err := os.MkdirAll(dir+"/ns", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/ns/secrets.json", []byte(`{"one":"1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.component(component("file", "secretstores.local.file", "secretsFile", "/../secrets.json"))
	p.component(component("env", "secretstores.local.env", "prefix", "SHOWN_"))
	p.ready(event.KindComponent, "file")
	if v := api.must("GET", "/v1.0/secrets/file/one", ""); v != `{"one":"1"}` {
		t.Errorf("%s", v)
	}
	if v := api.must("GET", "/v1.0/secrets/env/bulk", ""); v != `{"A":{"A":"1"}}` {
		t.Errorf("%s", v)
	}
}

func TestIsolation(t *testing.T) {
	p := newPlatform(t)
	other := component("theirs", "state.in-memory")
	other.Namespace = "elsewhere"
	p.component(other)
	scoped := component("scoped", "state.in-memory")
	scoped.Scopes = []string{"friend"}
	p.component(scoped)
	p.component(component("ours", "state.in-memory"))
	p.app(event.App{Name: name("fn"), Components: []event.Component{component("mine", "state.in-memory")}})
	fn, friend := p.serve(name("fn")), p.serve(name("friend"))
	fn.must("GET", "/v1.0/state/ours/a", "")
	fn.must("GET", "/v1.0/state/mine/a", "")
	fn.fails("GET", "/v1.0/state/theirs/a", "", http.StatusBadRequest, "ERR_STATE_STORE_NOT_FOUND")
	fn.fails("GET", "/v1.0/state/scoped/a", "", http.StatusBadRequest, "ERR_STATE_STORE_NOT_FOUND")
	friend.must("GET", "/v1.0/state/scoped/a", "")
	friend.fails("GET", "/v1.0/state/mine/a", "", http.StatusBadRequest, "ERR_STATE_STORE_NOT_FOUND")
	if m := fn.must("GET", "/v1.0/metadata", ""); strings.Contains(m, "theirs") || strings.Contains(m, "scoped") || !strings.Contains(m, `"name":"mine"`) || !strings.Contains(m, `"id":"fn-ns"`) {
		t.Errorf("%s", m)
	}
}

func TestWhatIsNotOffered(t *testing.T) {
	p := newPlatform(t)
	api := p.serve(name("fn"))
	const hint = "openfunction.io/dapr-service-mode: sidecar"
	for _, path := range []string{"/v1.0/actors/t/1/method/m", "/v1.0/workflows/dapr/w/start", "/v1.0/jobs/j", "/v1.0-alpha1/lock/l", "/v1.0-alpha1/crypto/c/encrypt", "/v1.0-alpha2/conversation/c/converse"} {
		if m := api.fails("POST", path, "{}", http.StatusNotImplemented, "ERR_API_UNIMPLEMENTED"); !strings.Contains(m, hint) {
			t.Errorf("%s: %s", path, m)
		}
	}
	_, err := api.grpc.InvokeActor(t.Context(), &runtimev1.InvokeActorRequest{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), "actors") {
		t.Errorf("%v", err)
	}
	_, err = api.grpc.Shutdown(t.Context(), &runtimev1.ShutdownRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("shutdown: %v", err)
	}
	stream, err := api.grpc.EncryptAlpha1(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), hint) {
		t.Errorf("a stream: %v", err)
	}
}

func TestToken(t *testing.T) {
	p := newPlatform(t, func(o *dapr.Options) {
		o.Token = func(n event.Name) string {
			if n.Name == "fn" {
				return "secret"
			}
			return ""
		}
	})
	api := p.serve(name("fn"))
	if code, _, _ := api.http("GET", "/v1.0/metadata", ""); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
	if code, _, _ := api.http("GET", "/v1.0/healthz", ""); code != http.StatusNoContent {
		t.Errorf("health: %d", code)
	}
	api.must("GET", "/v1.0/metadata", "", "dapr-api-token", "secret")
	if _, err := api.grpc.GetMetadata(t.Context(), &runtimev1.GetMetadataRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC without a token: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "dapr-api-token", "secret")
	if _, err := api.grpc.GetMetadata(ctx, &runtimev1.GetMetadataRequest{}); err != nil {
		t.Error(err)
	}
	p.serve(name("other")).must("GET", "/v1.0/metadata", "")
}

func TestPublishErrors(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory", "allowedTopics", "good,kept", "protectedTopics", "kept", "publishingScopes", "friend-ns=kept"))
	p.ready(event.KindComponent, "bus")
	api := p.serve(name("fn"))
	api.must("POST", "/v1.0/publish/bus/good", "x")
	api.fails("POST", "/v1.0/publish/bus/bad", "x", http.StatusForbidden, "ERR_PUBSUB_FORBIDDEN")
	api.fails("POST", "/v1.0/publish/bus/kept", "x", http.StatusForbidden, "ERR_PUBSUB_FORBIDDEN")
	p.serve(name("friend")).must("POST", "/v1.0/publish/bus/kept", "x")
	api.fails("POST", "/v1.0/publish/none/t", "x", http.StatusNotFound, "ERR_PUBSUB_NOT_FOUND")
	api.fails("POST", "/v1.0/publish/bus", "x", http.StatusNotFound, "ERR_TOPIC_NAME_EMPTY")
	api.fails("POST", "/v1.0/publish/bus/good?metadata.rawPayload=maybe", "x", http.StatusBadRequest, "ERR_PUBSUB_REQUEST_METADATA")
	api.fails("POST", "/v1.0/publish/bulk/bus/good", `[{"entryId":"1","event":1,"contentType":"application/json"},{"entryId":"1","event":1,"contentType":"application/json"}]`, http.StatusBadRequest, "ERR_PUBSUB_EVENTS_SER")
	if code, body, _ := api.http("POST", "/v1.0/publish/bus/good", strings.Repeat("x", 5<<20)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d %s", code, body)
	}
	_, err := api.grpc.PublishEvent(t.Context(), &runtimev1.PublishEventRequest{PubsubName: "none", Topic: "t"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
}

func TestOutputBinding(t *testing.T) {
	p := newPlatform(t)
	p.component(component("files", "bindings.localstorage", "rootPath", "/out"))
	p.ready(event.KindComponent, "files")
	api := p.serve(name("fn"))
	api.must("POST", "/v1.0/bindings/files", `{"operation":"create","data":"some text!","metadata":{"fileName":"a.txt"}}`)
	if v := api.must("POST", "/v1.0/bindings/files", `{"operation":"get","metadata":{"fileName":"a.txt"}}`); v != "some text!" {
		t.Errorf("%q", v)
	}
	if m := api.fails("POST", "/v1.0/bindings/files", `{"operation":"burn"}`, http.StatusInternalServerError, "ERR_INVOKE_OUTPUT_BINDING"); !strings.Contains(m, "burn") {
		t.Errorf("%s", m)
	}
	api.fails("POST", "/v1.0/bindings/none", `{"operation":"create"}`, http.StatusInternalServerError, "ERR_INVOKE_OUTPUT_BINDING")
	api.fails("POST", "/v1.0/bindings/files", `{`, http.StatusBadRequest, "ERR_MALFORMED_REQUEST")
	got, err := api.grpc.InvokeBinding(t.Context(), &runtimev1.InvokeBindingRequest{Name: "files", Operation: "list"})
	if err != nil || !strings.Contains(string(got.GetData()), "a.txt") {
		t.Errorf("%v %v", got, err)
	}
}

func TestMetadata(t *testing.T) {
	p := newPlatform(t)
	api, other := p.serve(name("fn")), p.serve(name("other"))
	api.must("PUT", "/v1.0/metadata/colour", "blue")
	if m := api.must("GET", "/v1.0/metadata", ""); !strings.Contains(m, `"colour":"blue"`) || !strings.Contains(m, `"runtimeVersion":"test"`) {
		t.Errorf("%s", m)
	}
	if m := other.must("GET", "/v1.0/metadata", ""); strings.Contains(m, "colour") {
		t.Errorf("another function sees it: %s", m)
	}
	for _, path := range []string{"/v1.0/healthz", "/v1.0/healthz/outbound"} {
		if code, _, _ := api.http("GET", path, ""); code != http.StatusNoContent {
			t.Errorf("%s: %d", path, code)
		}
	}
	api.fails("POST", "/v1.0/shutdown", "", http.StatusForbidden, "ERR_BAD_REQUEST")
}
