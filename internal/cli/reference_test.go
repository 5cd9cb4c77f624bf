package cli

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/cli.md instead of comparing it") //nolint:gochecknoglobals // a flag of the test binary

func TestReference(t *testing.T) {
	const path = "../../docs/cli.md"
	want := reference(New(Environment{}))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/cli.md is not what the commands say: run `go generate ./internal/cli`")
	}
}
