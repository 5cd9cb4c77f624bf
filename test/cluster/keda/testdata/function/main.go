// Command function is the function of these tests. With HTTP requests on $PORT it answers $VERSION, at /hold/DURATION after that time.
// With LIST it takes one element off that list of the Redis at REDIS, which wants PASSWORD, and ends.
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if os.Getenv("LIST") != "" {
		if err := pop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, serve())
	os.Exit(1)
}

func serve() error {
	answer := func(w http.ResponseWriter) { fmt.Fprint(w, os.Getenv("VERSION")) }
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answer(w) })
	mux.HandleFunc("/hold/{time}", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.PathValue("time"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		answer(w)
	})
	return (&http.Server{Addr: ":" + os.Getenv("PORT"), ReadHeaderTimeout: time.Minute, Handler: mux}).ListenAndServe()
}

func pop() error {
	conn, err := net.DialTimeout("tcp", os.Getenv("REDIS"), time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "AUTH %s\r\nLPOP %s\r\n", os.Getenv("PASSWORD"), os.Getenv("LIST"))
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "-"):
			return fmt.Errorf("redis: %s", line)
		case strings.HasPrefix(line, "$"): // the element, or none
			return nil
		}
	}
	return fmt.Errorf("redis closed the connection")
}
