// Command server is a program in an image that misbehaves as its environment says.
package main

import (
	"bytes"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--probe" {
		log.Fatal("I was not asked this before")
	}
	switch os.Getenv("MODE") {
	case "silent":
		log.Print("I never listen")
		time.Sleep(time.Hour)
	case "crash":
		log.Print("the database is not there")
		os.Exit(7)
	}
	http.HandleFunc("/eat", func(http.ResponseWriter, *http.Request) {
		var all [][]byte
		for range 1000 {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
		log.Print("I was given ", len(all), " MiB")
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "pid", os.Getpid(), os.Args[1:]) })
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, os.Getenv(r.URL.RawQuery)) })
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, r.URL.RawQuery) })
	http.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w)
		for r.Context().Err() == nil {
			fmt.Fprintln(w, "more")
			if flush.Flush() != nil {
				break
			}
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		log.Print("the client has gone")
	})
	chat()
	var ill, busy atomic.Bool
	http.HandleFunc("/sicken", func(http.ResponseWriter, *http.Request) { ill.Store(true) })
	http.HandleFunc("/occupy", func(w http.ResponseWriter, r *http.Request) {
		busy.Store(true)
		time.AfterFunc(6*time.Second, func() { busy.Store(false) })
	})
	answer := func(no *atomic.Bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if no.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	http.HandleFunc("/live", answer(&ill))
	http.HandleFunc("/ready", answer(&busy))
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			log.Print("the caller has given up")
		case <-time.After(time.Minute):
		}
	})
	port := os.Getenv("LISTEN")
	if port == "" {
		port = os.Getenv("PORT")
	}
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
