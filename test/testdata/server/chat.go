package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
)

// dapr is Dapr's API inside a copy.
const dapr = "http://127.0.0.1:3500/v1.0/"

// chat sends to a topic what it is told to say, and logs what comes from there.
func chat() {
	http.HandleFunc("GET /dapr/subscribe", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `[{"pubsubname":"topics","topic":"talk","route":"/talk"}]`)
	})
	http.HandleFunc("POST /talk", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		log.Print("heard ", string(body), err)
	})
	http.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Post(dapr+"publish/topics/talk", "text/plain", strings.NewReader(r.URL.RawQuery))
		pass(w, resp, err)
	})
	http.HandleFunc("/dapr", func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Get(dapr + r.URL.RawQuery)
		pass(w, resp, err)
	})
}

// pass answers as Dapr did.
func pass(w http.ResponseWriter, resp *http.Response, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}
