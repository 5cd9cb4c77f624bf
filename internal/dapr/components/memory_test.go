package components

import (
	"testing"

	"github.com/dapr/components-contrib/state"
)

// Databases in memory are of their component: another namespace does not see what is in them.
func TestSQLiteInMemory(t *testing.T) {
	f := quiet()
	f.Files = t.TempDir()
	var opened [2]*Opened
	for i, namespace := range []string{"ns", "other"} {
		c := spec("state.sqlite", "connectionString", ":memory:")
		c.Namespace = namespace
		o, err := f.Open(t.Context(), c, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = o.Close() }()
		opened[i] = o
	}
	for i, want := range []string{"v", ""} {
		if i == 0 {
			if err := opened[0].State.Set(t.Context(), &state.SetRequest{Key: "k", Value: "v"}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := opened[i].State.Get(t.Context(), &state.GetRequest{Key: "k"})
		if err != nil || string(got.Data) != want && string(got.Data) != `"`+want+`"` {
			t.Errorf("%d: %s %v", i, got.Data, err)
		}
	}
}
