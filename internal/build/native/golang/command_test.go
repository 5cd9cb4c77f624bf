package golang

import (
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

func TestCommanded(t *testing.T) {
	for command, want := range map[string]string{
		"":                      "",
		"hello":                 "bin/hello",
		"bin/hello --x":         "bin/hello",
		"./server":              "bin/hello server",
		"A=b exec bin/other":    "bin/hello bin/other",
		"wc":                    "bin/hello",
		"./there":               "bin/hello",
		"../up":                 "bin/hello",
		"deep/down/server":      "bin/hello",
		"/usr/bin/env ./server": "bin/hello",
	} {
		j := &lang.Job{Env: lang.Env{Command: command}, Tree: &lang.Tree{Sub: ".", Files: []lang.File{{Path: "there", Mode: 0o644}}}}
		var got []string
		for _, l := range commanded(j, "example.com/hello/v2") {
			for _, e := range l {
				if e.Link != "" {
					got = append(got, strings.TrimPrefix(e.Path, "workspace/"))
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, want %s", command, got, want)
		}
	}
}
