package embedded_test

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/embedded"
)

// TestFormerBus: a trigger gets what waits on the bus that it had before, whichever of the two is there first; not from buses
// that others may use as well.
func TestFormerBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, before, outside := &triggers{}, &memory{}, &memory{}
		made := map[string]bus.Bus{"before": before}
		w := start(t, func(o *embedded.Options) {
			now := o.Buses["embedded"]
			o.Triggers = g
			o.Buses["embedded"] = func(b event.Bus) (bus.Bus, error) {
				if m := made[b.Name.Name]; m != nil {
					return m, nil
				}
				return now(b)
			}
			o.Buses["jetStream"] = func(event.Bus) (bus.Bus, error) { return outside, nil }
		})
		defer w.close(t)
		for name, kind := range map[string]string{"now": "embedded", "outside": "jetStream", "before": "embedded"} {
			if err := w.ApplyBus(t.Context(), event.Bus{Name: event.Name{Namespace: "ns", Name: name}, Kind: kind}); err != nil {
				t.Fatal(err)
			}
		}
		tr := event.Trigger{Name: event.Name{Namespace: "ns", Name: "t"}}
		for _, on := range []string{"before", "now"} {
			tr.Bus = event.Name{Namespace: "ns", Name: on}
			if err := w.ApplyTrigger(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if want := []bus.Bus{w.bus, before}; !reflect.DeepEqual(g.on, []bus.Bus{before, w.bus}) || !reflect.DeepEqual(g.drained, want) {
			t.Fatalf("ran on %p, drained %p; want %p", g.on, g.drained, want)
		}
		if err := w.ApplyBus(t.Context(), event.Bus{Name: event.Name{Namespace: "ns", Name: "before"}, Kind: "embedded", Retention: event.Retention{MaxBytes: 1}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(g.drained) != 3 {
			t.Fatalf("a bus that came later was not looked at: %d", len(g.drained))
		}
		if err := w.Delete(t.Context(), event.Ref{Kind: event.KindTrigger, Name: tr.Name}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(g.forgot) != 2 {
			t.Fatalf("forgotten %d times, on two buses of the platform's own", len(g.forgot))
		}
	})
}

// TestSweep: a bus that comes late is swept too; what a trigger has that runs or exists stays.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &triggers{}
		w := start(t, func(o *embedded.Options) { o.Triggers = g })
		defer w.close(t)
		ctx, cancel := context.WithCancel(t.Context())
		swept := make(chan struct{})
		go func() {
			defer close(swept)
			w.Sweep(ctx, func(_ context.Context, name event.Name) (bool, error) { return name.Name == "exists", nil })
		}()
		synctest.Wait()
		on := event.Name{Namespace: "ns", Name: "b"}
		if err := w.ApplyTrigger(t.Context(), event.Trigger{Name: event.Name{Namespace: "ns", Name: "runs"}, Bus: on}); err != nil {
			t.Fatal(err)
		}
		if err := w.ApplyBus(t.Context(), event.Bus{Name: on, Kind: "embedded"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		cancel()
		<-swept
		if want := map[string]bool{"runs": false, "exists": false, "gone": true}; !reflect.DeepEqual(g.gone, want) {
			t.Fatalf("%v", g.gone)
		}
	})
}
