package trigger

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

func TestFilters(t *testing.T) {
	for text, want := range map[string]bool{
		"":                      true,
		"type = 'order.placed'": true,
		"type LIKE 'order.%' AND tenant = 'acme'": true,
		"EXISTS subject":            true,
		"EXISTS nothing":            false,
		"source IN ('/a', '/shop')": true,
		"INT(id) > 1":               false,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		e := sample()
		if got, err := f.Passes(&e); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	for _, text := range []string{"type =", "type = 'a", "# ?", "type = 'a' ; DROP", "a b c", "type == 'a'", "(type = 'a'", strings.Repeat("(", 3000), strings.Repeat("x", 5000), "\x00"} {
		if _, err := ParseFilter(text); err == nil {
			t.Errorf("%.40q was accepted", text)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: more than a line: %q", text, err)
		}
	}
}

func TestFiltersThatFailLetNothingThrough(t *testing.T) {
	for _, text := range []string{"nothing = 'x'", "1 / 0 = 1", "INT('x') = 1", "ABS(-2147483648) = 1", "UNKNOWN() = 1", "subject"} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Logf("%s is refused when it is read: %v", text, err)
			continue
		}
		e := sample()
		if ok, err := f.Passes(&e); ok || err == nil {
			t.Errorf("%s: %v %v", text, ok, err)
		}
	}
}

// TestSpecification runs the conformance cases of CloudEvents SQL that its Go SDK carries.
func TestSpecification(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudevents/sdk-go/sql/v2").Output()
	if err != nil {
		t.Skipf("finding the cases: %v", err)
	}
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "test", "tck", "*.yaml"))
	if len(files) == 0 {
		t.Skip("the module carries no cases")
	}
	ran := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Tests []specCase }
		if err := yaml.Unmarshal(raw, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range doc.Tests {
			ran++
			t.Run(filepath.Base(file)+"/"+c.Name, c.run)
		}
	}
	if ran < 200 {
		t.Errorf("only %d cases", ran)
	}
}

type specCase struct {
	Name, Expression, Error string
	Result                  any
	Event                   json.RawMessage
	EventOverrides          map[string]any
}

func (c specCase) run(t *testing.T) {
	e := cloudevent.Event{
		ID: "full-event", Source: "http://example.com/source", Type: "com.example.FullEvent", Subject: "topic", DataSchema: "http://example.com/schema",
		DataContentType: "text/json", Time: time.Date(2020, 3, 21, 12, 34, 56, 780000000, time.UTC),
		Extensions: map[string]string{"exbool": "true", "exint": "42", "exstring": "exstring", "exbinary": "AAECAw==", "exurl": "http://example.com/source", "extime": "2020-03-21T12:34:56.78Z"},
	}
	if c.Event != nil {
		var err error
		if e, err = cloudevent.FromJSON(c.Event); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range c.EventOverrides {
		if err := setAttribute(&e, name, fmt.Sprint(value)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := ParseFilter(c.Expression)
	if c.Error == "parse" {
		if err == nil {
			t.Errorf("%s was accepted", c.Expression)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", c.Expression, err)
	}
	got, err := f.expr.Evaluate(forSQL(&e))
	if (c.Error != "") != (err != nil) {
		t.Errorf("%s: error %v, want %q", c.Expression, err, c.Error)
	}
	if n, ok := c.Result.(float64); ok {
		c.Result = int64(n)
	}
	if c.Result != nil && fmt.Sprint(got) != fmt.Sprint(c.Result) {
		t.Errorf("%s is %v, want %v", c.Expression, got, c.Result)
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"type = 'a'", "a LIKE '%'", "EXISTS a AND NOT b", "1 + 2 * 3 = 7", "CONCAT('a', \"b\") = 'ab'", "a IN (1, 2)", "'\\'"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		filter, err := ParseFilter(text)
		if err != nil {
			return
		}
		e := sample()
		_, _ = filter.Passes(&e)
	})
}
