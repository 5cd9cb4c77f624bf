package condition_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/internal/control/condition"
)

func TestSet(t *testing.T) {
	var list []metav1.Condition
	condition.Set(&list, 1, "Ready", "False", "Broken", "why")
	list[0].LastTransitionTime = metav1.Unix(1, 0)
	condition.Set(&list, 2, "Ready", "False", "Other", "because")
	c := condition.Get(list, "Ready")
	if len(list) != 1 || c.Reason != "Other" || c.Message != "because" || c.ObservedGeneration != 2 || c.LastTransitionTime.Unix() != 1 {
		t.Errorf("condition is %+v", c)
	}
	condition.Set(&list, 2, "Ready", "True", "", "")
	if c = condition.Get(list, "Ready"); c.Reason != "Ready" || c.LastTransitionTime.Unix() == 1 {
		t.Errorf("condition is %+v", c)
	}
	condition.Remove(&list, "Ready")
	if condition.Get(list, "Ready") != nil {
		t.Error("is still there")
	}
}

// What the API would refuse must not make the whole status fail.
func TestAcceptable(t *testing.T) {
	for _, test := range []struct {
		status metav1.ConditionStatus
		reason string
		want   string
	}{
		{"True", "A_b,c:d", "A_b,c:d"}, {"True", "", "Ready"}, {"False", "two words", "NotReady"}, {"False", "1st", "NotReady"},
		{"Unknown", "ends:", "Progressing"}, {"Unknown", strings.Repeat("x", 2000), "Progressing"},
	} {
		var list []metav1.Condition
		condition.Set(&list, 1, "T", test.status, test.reason, strings.Repeat("é", 40000))
		if list[0].Reason != test.want || len(list[0].Message) > 32768 || !utf8.ValidString(list[0].Message) {
			t.Errorf("%q: reason %q, %d bytes", test.reason, list[0].Reason, len(list[0].Message))
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add("a short one", 100)
	f.Add(strings.Repeat("é", 50), 21)
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 16 || limit > 1<<20 {
			return
		}
		got := condition.Shorten(text, limit)
		switch {
		case len(text) <= limit && got != text:
			t.Errorf("changes what fits")
		case len(got) > limit:
			t.Errorf("%d bytes, limit %d", len(got), limit)
		case utf8.ValidString(text) && !utf8.ValidString(got):
			t.Errorf("cuts a character: %q", got)
		case utf8.ValidString(text) && len(text) > limit && (got[0] != text[0] || got[len(got)-1] != text[len(text)-1]):
			t.Errorf("lost its beginning or end: %q", got)
		}
	})
}
