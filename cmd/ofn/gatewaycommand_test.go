package main

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/openfunction/ofn/internal/gateway/relay"
)

func TestWarmImages(t *testing.T) {
	for name, test := range map[string]struct {
		images []string
		own    string
		image  string
		kinds  map[string]string
		fails  bool
	}{
		"none":           {kinds: map[string]string{}},
		"plain":          {images: []string{"host:5000/ofn@sha256:1"}, image: "host:5000/ofn@sha256:1", kinds: map[string]string{}},
		"several":        {images: []string{"python=p", "ofn", "node=n"}, image: "ofn", kinds: map[string]string{"python": "p", "node": "n"}},
		"of the own pod": {images: []string{"python=p"}, own: "pod", kinds: map[string]string{"python": "p"}},
		"no plain one":   {images: []string{"python=p"}, fails: true},
		"twice":          {images: []string{"ofn", "python=p", "python=q"}, fails: true},
		"plain twice":    {images: []string{"ofn", "other"}, fails: true},
		"no name":        {images: []string{"ofn", "=p"}, fails: true},
	} {
		s := warmSettings{images: test.images, ownPod: test.own}
		if err := s.parse(); (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		} else if err == nil && (s.image != test.image || !maps.Equal(s.kinds, test.kinds)) {
			t.Errorf("%s: %q and %v", name, s.image, s.kinds)
		}
	}
}

func TestLeaderOf(t *testing.T) {
	for holder, want := range map[string]relay.Leader{
		"10.0.0.1:8082_X":          {Identity: "10.0.0.1:8082_X", Address: "10.0.0.1:8082"},
		"[fd00::1]:8082_X":         {Identity: "[fd00::1]:8082_X", Address: "[fd00::1]:8082"},
		"ofn-gateway-abc_53f0-4ab": {}, // of a gateway that is not relayed to
		"":                         {},
	} {
		if got := leaderOf(&coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}); got != want {
			t.Errorf("%q is %+v", holder, got)
		}
	}
	if got := leaderOf(&coordinationv1.Lease{}); got != (relay.Leader{}) {
		t.Errorf("nobody is %+v", got)
	}
}

// TestLingering stops a gateway, and one that lost its lease.
func TestLingering(t *testing.T) {
	for name, test := range map[string]struct {
		stops bool
		after time.Duration
	}{"it is to stop": {true, 5 * time.Second}, "another one leads": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				process, stop := context.WithCancel(t.Context())
				f := &front{stopping: process.Done(), lingered: lingered(process, 5*time.Second)}
				run, end := context.WithCancel(t.Context())
				late, cancel := f.lingering(run)
				defer cancel()
				began := time.Now()
				if test.stops {
					stop()
				}
				end()
				<-late.Done()
				if took := time.Since(began); took != test.after {
					t.Errorf("it goes on for %v, want %v", took, test.after)
				}
				stop()
				time.Sleep(10 * time.Second)
			})
		})
	}
}
