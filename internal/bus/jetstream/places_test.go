package jetstream

import "testing"

// Places are kept over a restart of the server, and each owner has its own.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	e := NewEmbedded(EmbeddedOptions{Dir: dir})
	one, two := &Places{Server: e, Of: "u-1"}, &Places{Server: e, Of: "u-2"}
	for _, value := range []string{"first", "second"} {
		if err := one.Save("k", []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := two.Load("k"); err != nil || got != nil {
		t.Errorf("another owner has %q, %v", got, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = NewEmbedded(EmbeddedOptions{Dir: dir})
	defer e.Close()
	one = &Places{Server: e, Of: "u-1"}
	if got, err := one.Load("k"); err != nil || string(got) != "second" {
		t.Errorf("after a restart there is %q, %v", got, err)
	}
	for range 2 {
		if err := one.Forget("k"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := one.Load("k"); err != nil || got != nil {
		t.Errorf("after it was forgotten there is %q, %v", got, err)
	}
}
