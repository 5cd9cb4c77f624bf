package dapr_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/jackc/pgx/v5"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/test/servers"
)

func TestStores(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real databases")
	}
	postgres := func(t *testing.T) string { return pool.Get(t, servers.PostgreSQL).URL }
	for _, s := range []struct {
		name string
		make func(t *testing.T) event.Component
	}{
		{"redis", func(t *testing.T) event.Component {
			return component("store", "state.redis", "redisHost", pool.Get(t, servers.Redis).Addr)
		}},
		{"postgresql v1", func(t *testing.T) event.Component {
			return component("store", "state.postgresql", "connectionString", postgres(t))
		}},
		{"postgresql v2", func(t *testing.T) event.Component {
			c := component("store", "state.postgresql", "connectionString", postgres(t), "tablePrefix", "v2_", "metadataTableName", "v2meta")
			c.Version = "v2"
			return c
		}},
		{"mysql", func(t *testing.T) event.Component {
			m := pool.Get(t, servers.MariaDB)
			return component("store", "state.mysql", "connectionString", fmt.Sprintf("%s:%s@tcp(%s)/?allowNativePasswords=true", m.User, m.Password, m.Addr))
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			c := s.make(t)
			c.InitTimeout = patience
			p.component(c)
			p.ready(event.KindComponent, "store")
			api := p.serve(name("fn"))
			api.must("POST", "/v1.0/state/store", `[{"key":"a","value":{"x":1}},{"key":"b","value":"text","metadata":{"ttlInSeconds":"100"}}]`)
			if v := api.must("GET", "/v1.0/state/store/a", ""); strings.ReplaceAll(v, " ", "") != `{"x":1}` {
				t.Errorf("a is %s", v)
			}
			_, _, header := api.http("GET", "/v1.0/state/store/a", "")
			etag := header.Get("ETag")
			api.must("POST", "/v1.0/state/store", `[{"key":"a","value":2,"etag":"`+etag+`","options":{"concurrency":"first-write"}}]`)
			api.fails("POST", "/v1.0/state/store", `[{"key":"a","value":3,"etag":"`+etag+`","options":{"concurrency":"first-write"}}]`, http.StatusConflict, "ERR_STATE_SAVE")
			api.must("POST", "/v1.0/state/store/transaction", `{"operations":[{"operation":"upsert","request":{"key":"c","value":3}},{"operation":"delete","request":{"key":"b"}}]}`)
			if v := api.must("POST", "/v1.0/state/store/bulk", `{"keys":["a","b","c"]}`); !strings.Contains(v, `"data":3`) || !strings.Contains(v, `"data":2`) || strings.Contains(v, "text") {
				t.Errorf("bulk: %s", v)
			}
			api.must("DELETE", "/v1.0/state/store/a", "")
			if code, _, _ := api.http("GET", "/v1.0/state/store/a", ""); code != http.StatusNoContent {
				t.Errorf("it was not deleted: %d", code)
			}
		})
	}
}

// say sends a command to a Redis.
func say(t *testing.T, addr, line string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		t.Error(err)
	}
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || strings.HasPrefix(answer, "-") {
		t.Errorf("%s: %q %v", line, answer, err)
	}
}

func TestConfiguration(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Redis")
	}
	redis := pool.Get(t, servers.Redis)
	say(t, redis.Addr, "SET colour blue||1")
	p := newPlatform(t)
	p.component(component("conf", "configuration.redis", "redisHost", redis.Addr))
	p.ready(event.KindComponent, "conf")
	calls := p.httpApp("fn-v1", nil)
	p.app(event.App{Name: name("fn")})
	api := p.serve(name("fn"))
	if v := api.must("GET", "/v1.0/configuration/conf?key=colour", ""); v != `{"colour":{"value":"blue","version":"1"}}` {
		t.Errorf("%s", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changes, err := api.grpc.SubscribeConfiguration(ctx, &runtimev1.SubscribeConfigurationRequest{StoreName: "conf", Keys: []string{"colour"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := changes.Recv()
	if err != nil || first.GetId() == "" {
		t.Fatalf("%v %v", first, err)
	}
	var pushed struct{ ID string }
	if err := json.Unmarshal([]byte(api.must("GET", "/v1.0/configuration/conf/subscribe?key=colour", "")), &pushed); err != nil || pushed.ID == "" {
		t.Fatalf("%v %v", pushed, err)
	}
	copyEnds(t, p)
	// The store subscribes in the background: what changes before is told to nobody, so that it is changed until it is told.
	changing, changed := context.WithCancel(ctx)
	var changer sync.WaitGroup
	changer.Go(func() {
		for changing.Err() == nil {
			say(t, redis.Addr, "SET colour red||2")
			time.Sleep(20 * time.Millisecond)
		}
	})
	second, err := changes.Recv()
	if err != nil || second.GetItems()["colour"].GetValue() != "red" {
		t.Errorf("%v %v", second, err)
	}
	g := receive(t, calls, "the change")
	changed()
	changer.Wait()
	if g.path != "/configuration/conf/colour" || !strings.Contains(string(g.body), `"red"`) {
		t.Errorf("%s %s", g.path, g.body)
	}
	if v := api.must("GET", "/v1.0/configuration/conf/"+pushed.ID+"/unsubscribe", ""); v != `{"ok":true}` {
		t.Errorf("%s", v)
	}
	out, err := api.grpc.UnsubscribeConfiguration(ctx, &runtimev1.UnsubscribeConfigurationRequest{StoreName: "conf", Id: first.GetId()})
	if err != nil || !out.GetOk() {
		t.Errorf("%v %v", out, err)
	}
	api.fails("GET", "/v1.0/configuration/none?key=x", "", http.StatusBadRequest, "ERR_CONFIGURATION_STORE_NOT_FOUND")
	if err := p.DeleteComponent(ctx, name("conf")); err != nil {
		t.Errorf("a subscription is left: %v", err)
	}
}

// TestQueries: a store that can be asked for values is, and shows a function its own only.
func TestQueries(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real PostgreSQL")
	}
	p := newPlatform(t)
	c := component("store", "state.postgresql", "connectionString", pool.Get(t, servers.PostgreSQL).URL, "tableName", "asked", "metadataTableName", "askedmeta")
	c.InitTimeout = patience
	p.component(c)
	p.component(component("memory", "state.in-memory"))
	p.ready(event.KindComponent, "store")
	p.ready(event.KindComponent, "memory")
	api, other := p.serve(name("fn")), p.serve(name("other"))
	api.must("POST", "/v1.0/state/store", `[{"key":"1","value":{"city":"Bonn","n":1}},{"key":"2","value":{"city":"Ulm","n":2}},{"key":"3","value":{"city":"Bonn","n":3}}]`)
	other.must("POST", "/v1.0/state/store", `[{"key":"4","value":{"city":"Bonn","n":4}}]`)
	for query, want := range map[string]string{
		`{"filter":{"EQ":{"city":"Bonn"}},"sort":[{"key":"n","order":"DESC"}]}`:         "3 1",
		`{"filter":{"OR":[{"EQ":{"city":"Ulm"}},{"EQ":{"n":3}}]},"sort":[{"key":"n"}]}`: "2 3",
		`{"filter":{"IN":{"city":["Ulm","Rom"]}}}`:                                      "2",
		`{"filter":{"AND":[{"EQ":{"city":"Bonn"}},{"EQ":{"n":2}}]}}`:                    "",
		`{"sort":[{"key":"n"}],"page":{"limit":2}}`:                                     "1 2",
		`{"filter":{"EQ":{"city":"Bonn' OR ''='"}}}`:                                    "",
	} {
		var got struct{ Results []struct{ Key string } }
		if text := api.must("POST", "/v1.0-alpha1/state/store/query", query); text != "" {
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
		}
		var keys []string
		for _, r := range got.Results {
			keys = append(keys, r.Key)
		}
		if k := strings.Join(keys, " "); k != want {
			t.Errorf("%s: got %q, want %q", query, k, want)
		}
	}
	api.fails("POST", "/v1.0-alpha1/state/memory/query", `{}`, http.StatusInternalServerError, "ERR_STATE_STORE_NOT_SUPPORTED")
}

// execute does something in a PostgreSQL.
func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	for _, s := range statements {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// copyEnds is another copy of the function that comes, subscribes and goes: its own subscription ends with it, those of others do not.
func copyEnds(t *testing.T, p *platform) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- p.Serve(life, name("fn"), nil, l) }()
	other := &api{t, nil, nil, "http://" + l.Addr().String()}
	var own struct{ ID string }
	if err := json.Unmarshal([]byte(other.must("GET", "/v1.0/configuration/conf/subscribe?key=size", "")), &own); err != nil || own.ID == "" {
		t.Fatalf("%v %v", own, err)
	}
	end()
	if err := receive(t, served, "the end of the other copy"); err != nil {
		t.Error(err)
	}
}

func TestConfigurationOfPostgreSQL(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real PostgreSQL")
	}
	server := pool.Get(t, servers.PostgreSQL)
	execute(t, server.URL, "CREATE TABLE conf (key TEXT NOT NULL, value TEXT NOT NULL, version TEXT NOT NULL, metadata JSON)",
		"INSERT INTO conf VALUES ('colour', 'blue', '1', '{}'), ('size', 'big', '1', '{\"unit\": \"m\"}')",
		`CREATE FUNCTION tell() RETURNS TRIGGER AS $$ BEGIN PERFORM pg_notify('conf', json_build_object('table', TG_TABLE_NAME, 'action', TG_OP, 'data', row_to_json(NEW))::text); RETURN NULL; END; $$ LANGUAGE plpgsql`,
		"CREATE TRIGGER tell AFTER INSERT OR UPDATE ON conf FOR EACH ROW EXECUTE PROCEDURE tell()")
	p := newPlatform(t)
	c := component("conf", "configuration.postgresql", "connectionString", server.URL, "table", "conf", "notifyChannel", "conf")
	c.InitTimeout = patience
	p.component(c)
	p.ready(event.KindComponent, "conf")
	calls := p.httpApp("fn-v1", nil)
	p.app(event.App{Name: name("fn")})
	api := p.serve(name("fn"))
	if v := api.must("GET", "/v1.0/configuration/conf?key=colour&key=size", ""); v != `{"colour":{"value":"blue","version":"1"},"size":{"value":"big","version":"1","metadata":{"unit":"m"}}}` {
		t.Errorf("%s", v)
	}
	var pushed struct{ ID string }
	if err := json.Unmarshal([]byte(api.must("GET", "/v1.0/configuration/conf/subscribe?key=colour", "")), &pushed); err != nil || pushed.ID == "" {
		t.Fatalf("%v %v", pushed, err)
	}
	told := func(value string) {
		t.Helper()
		if g := receive(t, calls, "the change to "+value); g.path != "/configuration/conf/colour" || !strings.Contains(string(g.body), `"`+value+`"`) {
			t.Errorf("%s %s, want %s", g.path, g.body, value)
		}
	}
	execute(t, server.URL, "UPDATE conf SET value = 'small', version = '2' WHERE key = 'size'", "UPDATE conf SET value = 'red', version = '2' WHERE key = 'colour'")
	told("red")
	execute(t, server.URL, `NOTIFY conf, 'nonsense'`, `NOTIFY conf, '{"data": 1}'`, `NOTIFY conf, '{"data": {"value": "no key"}}'`,
		`NOTIFY conf, '{"data": {"KEY": "colour", "VALUE": 7.5, "VERSION": null, "METADATA": {"a": 1, "b": null}}}'`)
	told("7.5")
	execute(t, server.URL, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%conf%' AND pid <> pg_backend_pid()")
	told("red") // as it is after the connection was lost
	execute(t, server.URL, "UPDATE conf SET value = 'green', version = '3' WHERE key = 'colour'")
	told("green")
	if v := api.must("GET", "/v1.0/configuration/conf/"+pushed.ID+"/unsubscribe", ""); v != `{"ok":true}` {
		t.Errorf("%s", v)
	}
	execute(t, server.URL, "UPDATE conf SET value = 'black', version = '4' WHERE key = 'colour'")
	api.must("GET", "/v1.0/configuration/conf/subscribe?key=colour", "")
	execute(t, server.URL, "UPDATE conf SET value = 'white', version = '5' WHERE key = 'colour'")
	told("white")
}
