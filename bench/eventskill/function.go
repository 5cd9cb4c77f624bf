//go:build linux

package main

import (
	"bytes"
	"context"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
)

// How events fare in the function.
const (
	refusedOf = 1000 // one of so many is refused for good
	failsOf   = 5000 // of the unordered ones, one of so many fails however often it is tried
	hiccupOf  = 100  // one attempt of so many fails
)

// function notes what it is given, before it answers: what was written to the pipe outlives it.
func function(ctx context.Context, socket string) error {
	return serve(ctx, socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		id, _, _ := bytes.Cut(body, []byte(" "))
		switch {
		case refused(id):
			w.WriteHeader(http.StatusUnprocessableEntity)
		case fails(id), rand.IntN(hiccupOf) == 0:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			if _, err := os.Stdout.Write(append(id[:len(id):len(id)], '\n')); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
	}))
}

func hash(id []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(id)
	return h.Sum32()
}

func refused(id []byte) bool { return hash(id)%refusedOf == 0 }

func fails(id []byte) bool { return id[0] == entryKey && hash(id)%failsOf == 1 }
