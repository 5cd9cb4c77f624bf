package postgresql

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

func exec(t *testing.T, s *servers.Server, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	for _, q := range statements {
		if _, err := c.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func start(t *testing.T, s *servers.Server, spec map[string]any) *sourcetest.Run {
	t.Helper()
	spec["url"] = s.URL
	return sourcetest.Start(t, New, sourcetest.Config(t, "postgresql", spec))
}

func TestChannel(t *testing.T) {
	s := pool.Get(t, servers.PostgreSQL)
	r := start(t, s, map[string]any{"channel": "Jobs; x"})
	r.Connected()
	exec(t, s, `SELECT pg_notify('Jobs; x', '{"a":1}')`, `SELECT pg_notify('other', 'no')`)
	if e := r.Next(); string(e.Data) != `{"a":1}` || e.DataContentType != "application/json" {
		t.Fatalf("%+v", e)
	}
}

func TestChanges(t *testing.T) {
	s := pool.Get(t, servers.PostgreSQL)
	exec(t, s, `CREATE TABLE a (id int PRIMARY KEY, name text, price numeric, ok bool, j jsonb)`, `CREATE TABLE b (id int PRIMARY KEY)`)
	r := start(t, s, map[string]any{"tables": []string{"public.a"}})
	r.Connected()
	exec(t, s, `INSERT INTO b VALUES (1)`)
	var lsn, key string
	for statement, want := range pairs(
		`INSERT INTO a VALUES (1, 'x"y', 1.50, true, '{"k": [1]}')`, `insert {"id":1,"j":{"k":[1]},"name":"x\"y","ok":true,"price":1.50} null`,
		`UPDATE a SET name = NULL WHERE id = 1`, `update {"id":1,"j":{"k":[1]},"name":null,"ok":true,"price":1.50} null`,
		`UPDATE a SET id = 2`, `update {"id":2,"j":{"k":[1]},"name":null,"ok":true,"price":1.50} {"id":1}`,
		`DELETE FROM a`, `delete null {"id":2}`,
	) {
		exec(t, s, statement)
		e := r.Next()
		var c struct {
			Operation, Table, LSN string
			New, Old              map[string]json.RawMessage
		}
		if err := json.Unmarshal(e.Data, &c); err != nil {
			t.Fatal(err)
		}
		if got := c.Operation + " " + raw(c.New) + " " + raw(c.Old); got != want || c.Table != "a" || e.Subject != "public.a" || c.LSN == lsn {
			t.Fatalf("%s\nwant %s", e.Data, want)
		}
		if lsn == "" {
			key = e.Extension("partitionkey")
		} else if c.Operation == "update" && c.Old == nil && e.Extension("partitionkey") != key {
			t.Fatal("changes of one row have different keys")
		}
		lsn = c.LSN
	}
	// What is not safe, and what comes while the source is away, comes when it is back; also over a crash of the server.
	r.Hold()
	exec(t, s, `INSERT INTO a VALUES (10)`)
	r.Stop()
	exec(t, s, `INSERT INTO a SELECT generate_series(11, 3000)`)
	s.Kill()
	s.Restart()
	r = start(t, s, map[string]any{"tables": []string{"public.a"}})
	want := map[string]bool{}
	for i := 10; i <= 3000; i++ {
		want[fmt.Sprint(i)] = true
	}
	for len(want) > 0 {
		var c change
		if err := json.Unmarshal(r.Next().Data, &c); err != nil {
			t.Fatal(err)
		}
		delete(want, string(c.New["id"]))
	}
	r.Stop()
	forget(t, s)
}

// forget: nothing is left behind that would fill the server's disk.
func forget(t *testing.T, s *servers.Server) {
	t.Helper()
	made, err := New(sourcetest.Config(t, "postgresql", map[string]any{"url": s.URL}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := made.(source.Forgetter).Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	var left int
	if err := c.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)`).Scan(&left); err != nil || left != 0 {
		t.Fatalf("%d things are left behind, %v", left, err)
	}
}

func pairs(all ...string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := 0; i < len(all) && yield(all[i], all[i+1]); i += 2 {
		}
	}
}

func raw(m map[string]json.RawMessage) string {
	if m == nil {
		return "null"
	}
	out := "{"
	for _, k := range []string{"id", "j", "name", "ok", "price"} {
		if v, ok := m[k]; ok {
			if out != "{" {
				out += ","
			}
			out += fmt.Sprintf("%q:%s", k, v)
		}
	}
	return out + "}"
}

func TestCredentials(t *testing.T) {
	s := pool.Get(t, servers.PostgreSQL)
	r := start(t, s, map[string]any{"channel": "x", "password": "wrong"})
	if err := r.Trouble(); !errors.Is(err, source.ErrDenied) {
		t.Fatal(err)
	}
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"no url": {}, "url": {"url": "http://x"}, "both": {"url": "postgres://x/y", "channel": "c", "tables": []string{"t"}},
		"operations": {"url": "postgres://x/y", "operations": []string{"drop"}}, "slot": {"url": "postgres://x/y", "slot": "a-b"},
	} {
		var invalid source.Invalid
		if _, err := New(sourcetest.Config(t, "postgresql", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: whatever a server says, it is read or refused.
func FuzzDecode(f *testing.F) {
	relation := append([]byte("R\x00\x00\x00\x01public\x00t\x00d\x00\x01\x01id\x00"), 0, 0, 0, 23, 255, 255, 255, 255)
	f.Add(relation, []byte("I\x00\x00\x00\x01N\x00\x01t\x00\x00\x00\x011"))
	f.Add(relation, []byte("U\x00\x00\x00\x01K\x00\x01t\x00\x00\x00\x011N\x00\x01n"))
	f.Add(relation, []byte("D\x00\x00\x00\x01O\x00\x01u"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := newDecoder()
		for _, b := range [][]byte{first, second} {
			c, err := d.decode(b)
			if err == nil && c != nil {
				if _, err := json.Marshal(c); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
