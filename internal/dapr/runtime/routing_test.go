package runtime

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

func TestRouter(t *testing.T) {
	rules := []event.Route{
		{Match: `event.type == "a"`, Path: "/a"},
		{Match: `event.data.list[3] == 1`, Path: "/list"},
		{Match: `has(event.data.x) && event.data.x > 2`, Path: "/x"},
		{Match: `event.type`, Path: "/nobool"},
	}
	tests := []struct{ ev, fallback, path string }{
		{`{"type":"a"}`, "/d", "/a"},
		{`{"type":"b","data":{"x":3}}`, "/d", "/x"},
		{`{"type":"b","data":{"x":2}}`, "/d", "/d"},
		{`{"type":"b","data":{"list":[]}}`, "/d", "/d"},
		{`{"type":"b"}`, "", "none"},
	}
	for _, test := range tests {
		r, err := newRouter(rules, test.fallback)
		if err != nil {
			t.Fatal(err)
		}
		var ev map[string]any
		if err := json.Unmarshal([]byte(test.ev), &ev); err != nil {
			t.Fatal(err)
		}
		path, ok := r.path(ev)
		if !ok {
			path = "none"
		}
		if path != test.path {
			t.Errorf("%s: %s, want %s", test.ev, path, test.path)
		}
	}
	for _, bad := range []string{"event.", "1 +", strings.Repeat("(", 100), `event.type == "` + strings.Repeat("x", maxRule) + `"`} {
		if _, err := newRouter([]event.Route{{Match: bad, Path: "/"}}, ""); err == nil {
			t.Errorf("%.40q compiles", bad)
		}
	}
}

func FuzzRouter(f *testing.F) {
	f.Add(`event.type == "a"`, `{"type":"a"}`)
	f.Add(`event.data.n > 5 || event.x in [1,2]`, `{"data":{"n":6}}`)
	f.Add(`size(event) > '`, `[]`)
	f.Add(`.data.n > 5`, `{"data":{"n":6}}`)
	f.Fuzz(func(t *testing.T, match, text string) {
		r, err := newRouter([]event.Route{{Match: match, Path: "/m"}}, "/d")
		if err != nil {
			return
		}
		var ev map[string]any
		if json.Unmarshal([]byte(text), &ev) != nil {
			return
		}
		if path, ok := r.path(ev); !ok || (path != "/m" && path != "/d") {
			t.Errorf("%q %v", path, ok)
		}
	})
}

func FuzzTopicEvent(f *testing.F) {
	f.Add([]byte(`{"id":"1","source":"s","data":{"a":1},"datacontenttype":"application/json"}`), "", false)
	f.Add([]byte(`{"data_base64":"%%%"}`), "", false)
	f.Add([]byte{0xff, 0}, "application/octet-stream", true)
	f.Add([]byte(`null`), "application/octet-stream", false)
	f.Fuzz(func(t *testing.T, data []byte, kind string, raw bool) {
		sub := &subscription{Component: "c", Topic: "t", Metadata: map[string]string{}}
		if raw {
			sub.Metadata["rawPayload"] = "true"
		}
		ev, err := newTopicEvent(sub, data, map[string]string{"content-type": kind, "ce_id": "x"})
		if err != nil {
			if raw {
				t.Errorf("a raw payload is refused: %v", err)
			}
			return
		}
		if !json.Valid(ev.body) {
			t.Errorf("the body is not JSON: %q", ev.body)
		}
		got, err := ev.data()
		if raw && (err != nil || string(got) != string(data)) {
			t.Errorf("the payload changed: %q, %v", got, err)
		}
		_, _ = ev.identity(), ev.extensions()
		_ = header(ev.metadata, ev.event)
	})
}

func FuzzReadSubscriptions(f *testing.F) {
	f.Add([]byte(`[{"pubsubname":"p","topic":"t","route":"/r","routes":{"rules":[{"match":"event.type=='a'","path":"/a"}],"default":"/d"},"bulkSubscribe":{"enabled":true}}]`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[null,{"routes":null}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		subs, err := readSubscriptions(body)
		if err != nil {
			return
		}
		met, _ := newContact("http", subs)
		for _, l := range met.listed {
			if l.Component == "" || l.Topic == "" {
				t.Errorf("%+v", l.subscription)
			}
		}
	})
}

func TestHeaderDropsWhatIsNoHeader(t *testing.T) {
	h := header(map[string]string{"ok": "1", "bad name": "1", "content-length": "9", "x": "a\r\nb: c", "": "1"}, map[string]any{"traceparent": "t", "tracestate": 5})
	if len(h) != 2 || h.Get("ok") != "1" || h.Get("traceparent") != "t" {
		t.Errorf("%v", h)
	}
}

func TestStateKey(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "app||k", "appid": "app||k", "none": "k", "name": "store||k", "namespace": "ns.app||k", "Custom": "Custom||k",
	} {
		c := event.Component{Name: event.Name{Namespace: "ns", Name: "store"}, Metadata: map[string]string{"keyprefix": prefix}}
		if got, err := StateKey(c, "app", "k"); err != nil || got != want {
			t.Errorf("%s: %s %v", prefix, got, err)
		}
	}
	if _, err := StateKey(event.Component{}, "app", "a||b"); err == nil {
		t.Error("a key with the separator is taken")
	}
}

func TestBatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		b := newBatcher(3, time.Second, func(_ context.Context, evs []*topicEvent) []verdict {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(evs))
			return each(len(evs), func(i int) verdict { return failed(errNoInputs, int(evs[i].raw[0])) })
		})
		var wg sync.WaitGroup
		begun := time.Now()
		for i := range 4 {
			wg.Go(func() {
				v := b.give(t.Context(), &topicEvent{path: "/p", raw: []byte{byte(i)}})
				if v.code != i {
					t.Errorf("event %d got the verdict of %d", i, v.code)
				}
			})
		}
		wg.Wait()
		if len(sizes) != 2 || sizes[0]+sizes[1] != 4 || time.Since(begun) != time.Second {
			t.Errorf("batches of %v after %v", sizes, time.Since(begun))
		}
	})
}

func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{joined: map[string]*joint{}}
		hold := make(chan struct{})
		n := 0
		deliver := func() error {
			n++
			<-hold
			return errStopping
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := a.join(t.Context(), "k", deliver); err != errStopping {
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		close(hold)
		wg.Wait()
		if n != 1 || len(a.joined) != 0 {
			t.Errorf("%d deliveries of one event, %d left", n, len(a.joined))
		}
	})
}
