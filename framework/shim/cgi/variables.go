package cgi

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Variables are the meta-variables of a call, "KEY=value".
func Variables(r *http.Request) []string {
	name, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		name, port = r.Host, "80"
	}
	env := []string{
		"GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=ofn", "SERVER_PROTOCOL=" + r.Proto, "SERVER_NAME=" + name, "SERVER_PORT=" + port, "HTTP_HOST=" + r.Host,
		"REQUEST_METHOD=" + r.Method, "QUERY_STRING=" + r.URL.RawQuery, "REQUEST_URI=" + r.URL.RequestURI(), "SCRIPT_NAME=", "PATH_INFO=" + r.URL.Path,
	}
	if addr, remote, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		env = append(env, "REMOTE_ADDR="+addr, "REMOTE_HOST="+addr, "REMOTE_PORT="+remote)
	} else if from, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); from != "" {
		env = append(env, "REMOTE_ADDR="+from, "REMOTE_HOST="+from)
	}
	if r.ContentLength > 0 {
		env = append(env, "CONTENT_LENGTH="+strconv.FormatInt(r.ContentLength, 10))
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		env = append(env, "CONTENT_TYPE="+t)
	}
	for k, v := range r.Header {
		if k == "Proxy" { // a program would take HTTP_PROXY for its way out
			continue
		}
		sep := ", "
		if k == "Cookie" {
			sep = "; "
		}
		env = append(env, "HTTP_"+variable(k)+"="+strings.ReplaceAll(strings.Join(v, sep), "\x00", ""))
	}
	return env
}

// variable makes a header's name one of the environment.
func variable(k string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, k)
}
