package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// tableType asks the server for the columns that it prints of a kind.
const tableType = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// gap separates columns.
const gap = "   "

// table prints rows under a head, as they come.
type table struct {
	out              io.Writer
	wide, namespaced bool

	columns []metav1.TableColumnDefinition
	rows    [][]string
	widths  []int
	headed  bool
}

func newTable(out io.Writer, wide, namespaced, noHeaders bool) *table {
	return &table{out: out, wide: wide, namespaced: namespaced, headed: noHeaders}
}

func (t *table) empty() bool { return len(t.rows) == 0 }

// add takes the rows of a server's answer; the first that has columns names them for all.
func (t *table) add(content *metav1.Table) {
	if len(content.ColumnDefinitions) > 0 {
		t.columns = content.ColumnDefinitions
	}
	for _, row := range content.Rows {
		var object struct {
			Kind     string
			Metadata struct{ Namespace string }
			Status   v1beta2.FunctionStatus
		}
		// What cannot be read of the object leaves its cells empty; the row is there all the same.
		_ = json.Unmarshal(row.Object.Raw, &object)
		var cells []string
		if t.namespaced {
			cells = append(cells, object.Metadata.Namespace)
		}
		for i, column := range t.columns {
			if i < len(row.Cells) && t.shown(column) {
				cells = append(cells, cell(row.Cells[i]))
			}
		}
		if t.ofFunctions() {
			cells = append(cells, cell(external(object.Status)))
		}
		t.rows = append(t.rows, cells)
	}
}

func (t *table) shown(c metav1.TableColumnDefinition) bool { return t.wide || c.Priority == 0 }

// ofFunctions tells by the columns that they are those of Function, which gets the URL as one more.
func (t *table) ofFunctions() bool {
	for _, c := range t.columns {
		if c.Name == "BuildState" {
			return true
		}
	}
	return false
}

func external(s v1beta2.FunctionStatus) string {
	for _, a := range s.Addresses {
		if a.Type == v1beta2.AddressExternal {
			return a.Value
		}
	}
	return ""
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.ReplaceAll(v, "\n", " ")
	default:
		return fmt.Sprint(v)
	}
}

func (t *table) head() []string {
	var out []string
	if t.namespaced {
		out = append(out, "NAMESPACE")
	}
	for _, c := range t.columns {
		if t.shown(c) {
			out = append(out, strings.ToUpper(c.Name))
		}
	}
	if t.ofFunctions() {
		out = append(out, "URL")
	}
	return out
}

// flush prints the rows added since the last time; columns never get narrower.
func (t *table) flush() {
	lines := t.rows
	if !t.headed && len(lines) > 0 {
		lines = append([][]string{t.head()}, lines...)
		t.headed = true
	}
	t.rows = nil
	for _, line := range lines {
		for i, c := range line {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, c := range line {
			b.WriteString(c)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c)) + gap)
			}
		}
		fmt.Fprintln(t.out, strings.TrimRight(b.String(), " "))
	}
}
