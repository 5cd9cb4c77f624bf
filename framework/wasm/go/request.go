package wasmfn

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// errHead is about a head that the platform would not give.
var errHead = errors.New("the head of the request is not one of HTTP/1.1")

// parse makes a request of its head. The platform has read it before and gives it in one form: names in canonical case, no folded
// lines, one space after the colon. That is why this does what net/http takes ten times as long for. It looks for single bytes only: in
// WebAssembly a search for more is slow.
func parse(head []byte) (*http.Request, error) {
	line, rest, ok := cut(string(head))
	method, target, ok1 := strings.Cut(line, " ")
	target, ok2 := strings.CutSuffix(target, " HTTP/1.1")
	if !ok || !ok1 || !ok2 {
		return nil, errHead
	}
	u, err := address(method, target)
	if err != nil {
		return nil, fmt.Errorf("the address of the request: %w", err)
	}
	r := &http.Request{Method: method, URL: u, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header, usualFields)}
	return r, fields(r, rest)
}

// usualFields is how many header fields there are room for from the beginning: those that a client and the gateway set.
const usualFields = 16

// cut takes the first line off.
func cut(lines string) (line, rest string, ok bool) {
	i := strings.IndexByte(lines, '\n')
	if i < 1 || lines[i-1] != '\r' {
		return "", "", false
	}
	return lines[:i-1], lines[i+1:], true
}

// address is the target of a request: a path, or what an OPTIONS or CONNECT names.
func address(method, target string) (*url.URL, error) {
	if path, query, asked := strings.Cut(target, "?"); plain(path) && (!asked || query != "" && visible(query)) {
		return &url.URL{Path: path, RawQuery: query}, nil
	}
	if method == http.MethodConnect && !strings.HasPrefix(target, "/") {
		u, err := url.ParseRequestURI("http://" + target)
		if err == nil {
			u.Scheme = ""
		}
		return u, err
	}
	return url.ParseRequestURI(target)
}

// plain is whether a path means what it says: there is nothing in it that would have to be decoded.
func plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		c := path[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '-' && c <= '9' || c == '_' || c == '~' { // - . / and digits
			continue
		}
		return false
	}
	return true
}

// visible is whether a query can be taken as it is.
func visible(query string) bool {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// fields takes the header lines in. Values that are alone under their name lie in one array.
func fields(r *http.Request, lines string) error {
	values := make([]string, usualFields)
	for {
		line, rest, ok := cut(lines)
		if !ok {
			return errHead
		}
		if line == "" {
			return nil
		}
		lines = rest
		i := strings.IndexByte(line, ':')
		if i < 0 {
			return errHead
		}
		name, value := line[:i], strings.TrimPrefix(line[i+1:], " ")
		switch name {
		case "Host":
			r.Host = value
			continue
		case "Transfer-Encoding": // the platform's word for a body of unknown length; what is read of it is plain
			r.ContentLength = -1
			continue
		case "Content-Length":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return errHead
			}
			r.ContentLength = n
		}
		before := r.Header[name]
		if before != nil || len(values) == 0 {
			r.Header[name] = append(before, value)
			continue
		}
		values[0] = value
		r.Header[name] = values[:1:1]
		values = values[1:]
	}
}
