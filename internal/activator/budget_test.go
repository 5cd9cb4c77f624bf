package activator

import (
	"errors"
	"testing"
)

func TestBudgetIsFair(t *testing.T) {
	b := NewBudget(100)
	greedy, quiet := b.join("greedy"), b.join("quiet")
	n := 0
	for b.admit(greedy) {
		n++
	}
	if n < 70 || n > 85 {
		t.Errorf("one namespace alone got %d of 100", n)
	}
	if !b.admit(quiet) {
		t.Error("a quiet namespace got nothing")
	}
	if b.InUse() != n+1 {
		t.Errorf("in use: %d, want %d", b.InUse(), n+1)
	}
	for range n {
		b.giveBack(greedy)
	}
	b.giveBack(quiet)
	b.leave(greedy)
	b.leave(quiet)
	if b.InUse() != 0 || len(b.shares) != 0 {
		t.Errorf("left behind: %d, %v", b.InUse(), b.shares)
	}
}

func TestOverloadReachesTheCaller(t *testing.T) {
	b := NewBudget(1)
	r := New(Options{Namespace: "n", Budget: b})
	r.Add(target("a"))
	_, release := hold(t, r)
	if err := r.Do(t.Context(), nothing); !errors.Is(err, ErrOverload) {
		t.Errorf("got %v", err)
	}
	release()
	if err := r.Do(t.Context(), nothing); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
