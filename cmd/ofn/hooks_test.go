package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func callHook(ctx context.Context, h http.Handler, path string) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", path, nil))
	return w.Code
}

func TestHooksWaitForTheirSources(t *testing.T) {
	h := newHooks()
	if !h.Match("/hook") {
		t.Fatal("while the platform starts, a call is told that nothing is there")
	}
	answered := make(chan int)
	go func() { answered <- callHook(t.Context(), h, "/hook") }()
	for len(h.waiting) == 0 {
		select {
		case code := <-answered:
			t.Fatalf("a call was answered %d before its source was there", code)
		default:
		}
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if code := callHook(gone, h, "/hook"); code != http.StatusServiceUnavailable {
		t.Errorf("a caller that waited too long is answered %d, want 503", code)
	}
	if _, err := h.Handle("/hook", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })); err != nil {
		t.Fatal(err)
	}
	if code := callHook(t.Context(), h, "/hook"); code != http.StatusAccepted {
		t.Errorf("a source that is there waits for others: %d", code)
	}
	h.settle()
	if code := <-answered; code != http.StatusAccepted {
		t.Errorf("the call that waited is answered %d, want 202", code)
	}
	if h.Match("/other") {
		t.Error("a path that no source has is taken although the platform has started")
	}
}

func TestNoMoreThanSoManyCallsWait(t *testing.T) {
	h := newHooks()
	for range maxHeld {
		h.waiting <- struct{}{}
	}
	if code := callHook(t.Context(), h, "/hook"); code != http.StatusServiceUnavailable {
		t.Errorf("one too many is answered %d, want 503", code)
	}
}
