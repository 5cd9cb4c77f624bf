package admission_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

// Every manifest in testdata is written to a server; what becomes of it is in testdata/golden. Adding a case is adding a
// file and running the test once with -update.
func TestManifests(t *testing.T) {
	s := newServer(t)
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := *s
			s.t = t
			manifest, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data, err := yaml.YAMLToJSON(manifest)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(s.create(s.object(data)))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata/golden", filepath.Base(path))
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
