//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Keys are a letter and a number; events of a key are numbered from 0: "h12-345".
const (
	hookKey  = 'h' // of webhooks, ordered
	entryKey = 'e' // of the stream
)

// ledger is what publishers were told and what became of it.
type ledger struct {
	mu   sync.Mutex
	keys map[string]*account

	acknowledged, handled, again int
	disorder                     []string
	dead, both                   int
}

// account is of one key.
type account struct {
	acknowledged int // those before this number were
	times        []uint8
	newest       int
	dead         map[int]bool
}

func newLedger() *ledger { return &ledger{keys: map[string]*account{}} }

func (l *ledger) account(key string) *account {
	a := l.keys[key]
	if a == nil {
		a = &account{newest: -1, dead: map[int]bool{}}
		l.keys[key] = a
	}
	return a
}

// acknowledge counts the next n of a key.
func (l *ledger) acknowledge(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(key).acknowledged += n
	l.acknowledged += n
}

func (l *ledger) published() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acknowledged
}

// read takes the notes of one life of the function.
func (l *ledger) read(notes io.Reader) {
	for lines := bufio.NewScanner(notes); lines.Scan(); {
		if key, n, ok := parse(lines.Text()); ok {
			l.handle(key, n)
		}
	}
}

func parse(id string) (key string, n int, ok bool) {
	key, number, ok := strings.Cut(id, "-")
	n, err := strconv.Atoi(number)
	return key, n, ok && err == nil
}

func (l *ledger) handle(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(key)
	for len(a.times) <= n {
		a.times = append(a.times, 0)
	}
	if a.times[n] > 0 {
		l.again++
	} else {
		l.handled++
		if n < a.newest && key[0] == hookKey {
			l.disorder = append(l.disorder, fmt.Sprintf("%s-%d came first after number %d", key, n, a.newest))
		}
	}
	if a.times[n] < 255 {
		a.times[n]++
	}
	a.newest = max(a.newest, n)
}

// bury notes a dead letter.
func (l *ledger) bury(id string) error {
	key, n, ok := parse(id)
	if !ok {
		return fmt.Errorf("a dead letter holds %q, which nobody published", id)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(key)
	if !a.dead[n] {
		l.dead++
		if a.had(n) {
			l.both++
		}
	}
	a.dead[n] = true
	return nil
}

func (a *account) had(n int) bool { return n < len(a.times) && a.times[n] > 0 }

// lost are events that were acknowledged and went nowhere.
func (l *ledger) lost() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, a := range l.keys {
		for n := range a.acknowledged {
			if !a.had(n) && !a.dead[n] {
				ids = append(ids, fmt.Sprintf("%s-%d", key, n))
			}
		}
	}
	return ids
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d acknowledged, %d handled, %d of them again", l.acknowledged, l.handled, l.again)
}
