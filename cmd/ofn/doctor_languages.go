package main

import (
	"context"
	"regexp"
	"sync"

	"github.com/openfunction/ofn/internal/doctor"
)

// known lists what languages besides Go are built with, and the lowest versions that docs/languages promise.
func known() []doctor.Language {
	tool := func(name, needed string) doctor.Tool { return doctor.Tool{Name: name, Needed: needed} }
	return []doctor.Language{
		{Name: "Node.js", Install: "nodejs and npm", Tools: []doctor.Tool{tool("node", "20"), tool("npm", "")}},
		{Name: "Python", Install: "python3 and python3-pip", Tools: []doctor.Tool{tool("python3", "3.9")}},
		{Name: "Java", Install: "default-jdk-headless and maven", Tools: []doctor.Tool{tool("javac", "17"), tool("mvn", "")}},
		{Name: "Rust", Install: "cargo and gcc", Tools: []doctor.Tool{tool("cargo", ""), tool("cc", "")}},
	}
}

var versionText = regexp.MustCompile(`\d+(\.\d+)+`)

// languageFacts asks all tools at once: some take their time.
func languageFacts(ctx context.Context) []doctor.Language {
	all := known()
	var asking sync.WaitGroup
	for i := range all {
		for j := range all[i].Tools {
			asking.Go(func() {
				t := &all[i].Tools[j]
				t.Program = asked(ctx, t.Name, "--version")
				if v := versionText.FindString(t.Version); v != "" {
					t.Version = v
				}
			})
		}
	}
	asking.Wait()
	return all
}
