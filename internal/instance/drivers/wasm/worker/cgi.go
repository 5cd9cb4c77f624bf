package worker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHead bounds the header lines of a CGI response, in bytes.
const maxHead = 64 << 10

// cgiEnv is what RFC 3875 says about a request, beyond what is the same for all. The header Proxy is left out, which programs
// would take for their own configuration.
func cgiEnv(r *http.Request) [][2]string {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	env := [][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"SERVER_SOFTWARE", "ofn"}, {"SERVER_PROTOCOL", r.Proto}, {"SERVER_NAME", host}, {"SERVER_PORT", port},
		{"REQUEST_METHOD", r.Method}, {"REQUEST_URI", r.URL.RequestURI()}, {"SCRIPT_NAME", ""}, {"PATH_INFO", r.URL.Path},
		{"QUERY_STRING", r.URL.RawQuery}, {"REMOTE_ADDR", remote(r)}, {"HTTP_HOST", r.Host},
	}
	if r.ContentLength >= 0 && (r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut) {
		env = append(env, [2]string{"CONTENT_LENGTH", strconv.FormatInt(r.ContentLength, 10)})
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		env = append(env, [2]string{"CONTENT_TYPE", t})
	}
	for name, values := range r.Header {
		if name == "Proxy" || name == "Content-Type" || name == "Content-Length" || strings.Contains(name, "_") {
			continue
		}
		separator := ", "
		if name == "Cookie" {
			separator = "; "
		}
		value := strings.ReplaceAll(strings.Join(values, separator), "\x00", "")
		env = append(env, [2]string{"HTTP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")), value})
	}
	return env
}

// remote is the caller as the gateway says.
func remote(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	if ip := net.ParseIP(strings.TrimSpace(first)); ip != nil {
		return ip.String()
	}
	return "127.0.0.1"
}

// cgiResponse makes a response of what a program writes: header lines by the rules of CGI, an empty line and the body, or
// only a body. It is a CGI response when its first lines are header lines, one of which is Content-Type, Status or Location.
type cgiResponse struct {
	to   http.ResponseWriter
	head []byte // what was written while that is not decided
	body bool
}

// Write implements io.Writer.
func (c *cgiResponse) Write(p []byte) (int, error) {
	if c.body {
		return c.to.Write(p)
	}
	c.head = append(c.head, p...)
	if end := headEnd(c.head); end >= 0 {
		return len(p), c.begin(end)
	}
	if !couldBeHead(c.head) || len(c.head) > maxHead {
		return len(p), c.begin(0)
	}
	return len(p), nil
}

// finish is called when nothing more is written.
func (c *cgiResponse) finish() error {
	if c.body {
		return nil
	}
	return c.begin(0)
}

// headEnd is where the body begins when all header lines are there; -1 when not.
func headEnd(b []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return -1
		}
		line := bytes.TrimSuffix(b[at:at+n], []byte("\r"))
		at += n + 1
		if len(line) == 0 {
			return at
		}
	}
}

// couldBeHead is whether the whole lines there are may be header lines.
func couldBeHead(b []byte) bool {
	for {
		n := bytes.IndexByte(b, '\n')
		if n < 0 {
			return len(b) <= maxHead
		}
		line := bytes.TrimSuffix(b[:n], []byte("\r"))
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\"<>{}[]()@,;\\/?=") {
			return false
		}
		b = b[n+1:]
	}
}

// begin sends the head, of which end bytes are header lines, and what of the body is there.
func (c *cgiResponse) begin(end int) error {
	c.body = true
	head := c.head
	c.head = nil
	code, ok := http.StatusOK, false
	if end > 0 {
		var err error
		if code, ok, err = c.header(head[:end]); err != nil {
			return err
		}
	}
	if ok {
		head = head[end:]
	}
	c.to.WriteHeader(code)
	if len(head) == 0 {
		return nil
	}
	if _, err := c.to.Write(head); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return err
	}
	return nil
}

// header takes header lines over; ok is whether they are those of a CGI response.
func (c *cgiResponse) header(lines []byte) (code int, ok bool, err error) {
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	if err != nil || h.Get("Content-Type") == "" && h.Get("Status") == "" && h.Get("Location") == "" {
		return http.StatusOK, false, nil
	}
	code = http.StatusOK
	if h.Get("Location") != "" {
		code = http.StatusFound
	}
	if s := h.Get("Status"); s != "" {
		number, _, _ := strings.Cut(s, " ")
		if code, err = strconv.Atoi(number); err != nil || code < 200 || code > 599 {
			return 0, false, fmt.Errorf("the header line Status says %.40q and not a code from 200 to 599", s)
		}
		h.Del("Status")
	}
	to := c.to.Header()
	for k, v := range h {
		to[k] = v
	}
	return code, true, nil
}
